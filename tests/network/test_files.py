"""Files of networks: what is saved comes back, whole, from this version and from earlier ones."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from network_problems import ARCHITECTURES, CELLS, DTYPES, LENGTHS, inputs, network

import crnn

DATA = Path(__file__).parent / "data"


@pytest.mark.parametrize("kind", [{}, {"categorical": True}], ids=["features", "categories"])
@pytest.mark.parametrize("settings", ARCHITECTURES.values(), ids=ARCHITECTURES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_saved_comes_back(network_of, tmp_path, dtype, settings, kind):
    net = network_of(dtype=dtype, **settings, **kind)
    path = tmp_path / "net.npz"
    assert net.save(path) is None
    twin = crnn.load(path, implementation=net.implementation)
    assert type(twin) is type(net)
    assert repr(twin) == repr(net)
    assert twin.flat_params.tobytes() == net.flat_params.tobytes()
    x = inputs(net)
    assert np.array_equal(twin.predict(x, lengths=LENGTHS), net.predict(x, lengths=LENGTHS))


def test_what_is_loaded_can_be_trained(build_network, tmp_path):
    net = build_network()
    net.save(tmp_path / "net.npz")
    twin = crnn.load(tmp_path / "net.npz", implementation=net.implementation)
    x = inputs(net)
    y = net.predict(x) + 1
    assert twin.train_step(x, y, crnn.SGD(0.1)) == net.train_step(x, y, crnn.SGD(0.1))
    assert twin.flat_params.tobytes() == net.flat_params.tobytes()


def test_a_string_is_a_path_too_and_nothing_is_left_beside_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    network().save("pump.model")
    crnn.load("pump.model")
    assert [p.name for p in tmp_path.iterdir()] == ["pump.model"]


def test_numpy_opens_it_too(tmp_path):
    net = network()
    net.save(tmp_path / "net.npz")
    with np.load(tmp_path / "net.npz") as archive:
        assert np.array_equal(archive["parameters"], net.flat_params)
        assert json.loads(archive["crnn"].tobytes())["hidden_size"] == 5


def test_a_file_is_replaced_as_a_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "net.npz"
    first, second = network(), network(hidden_size=6)
    first.save(path)
    before = path.read_bytes()

    def fail(*_):
        raise OSError("disk full")

    for name in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, fail)
            with pytest.raises(OSError, match="disk full"):
                second.save(path)
        assert path.read_bytes() == before
        assert [p.name for p in tmp_path.iterdir()] == ["net.npz"]
    second.save(path)
    assert crnn.load(path).hidden_size == 6


def test_where_nothing_can_be_written_or_read(tmp_path):
    with pytest.raises(FileNotFoundError):
        network().save(tmp_path / "missing" / "net.npz")
    with pytest.raises(FileNotFoundError):
        crnn.load(tmp_path / "net.npz")
    with pytest.raises(IsADirectoryError):
        crnn.load(tmp_path)


def expected(name):
    return json.loads((DATA / "version_1.json").read_text())[name]


def test_features_in_a_file_of_version_1(implementation):
    path = DATA / "version_1_features.npz"
    for settings in ({}, {"categorical": False}):
        net = crnn.load(path, implementation=implementation, **settings)
        assert type(net) is crnn.LSTM
        assert net.categorical is False
        np.testing.assert_allclose(net.predict(expected("x")), expected("y"), rtol=1e-12)


def test_categories_in_a_file_of_version_1(implementation, tmp_path):
    """Version 1 told them by the dtype of x; now the caller says so."""
    path = DATA / "version_1_categories.npz"
    net = crnn.load(path, implementation=implementation, categorical=True)
    assert type(net) is crnn.GRU
    assert net.categorical is True
    y = net.predict(expected("numbers"))
    np.testing.assert_allclose(y, expected("y of numbers"), rtol=0, atol=1e-6)
    net.save(tmp_path / "net.npz")
    assert crnn.load(tmp_path / "net.npz").categorical is True
    with pytest.raises(crnn.ModelFileError, match="categorical: expected False, got True"):
        crnn.load(tmp_path / "net.npz", categorical=False)


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_a_network_from_an_architecture(implementation, cell):
    net = network(implementation=implementation, num_layers=2, **cell)
    twin = crnn.from_architecture(net.architecture, dtype="float64", implementation=implementation)
    assert type(twin) is type(net)
    assert twin.architecture == net.architecture
    assert repr(twin) == repr(net)
    twin.flat_params[...] = net.flat_params
    assert np.array_equal(twin.predict(inputs(net)), net.predict(inputs(net)))
