"""Files whose description is not that of a network; applications/test_archive.py has the rest."""

import numpy as np
import pytest
from damaged_files import mutations, npy, rewritten
from network_problems import network

import crnn
from crnn.kernels.cells import CELLS


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A network and the bytes of its file."""
    net = network(dtype="float32")
    path = tmp_path_factory.mktemp("saved") / "good.npz"
    net.save(path)
    return net, path.read_bytes()


def refused(tmp_path, data, match="expected"):
    path = tmp_path / "bad.npz"
    path.write_bytes(data)
    with pytest.raises(crnn.ModelFileError, match=match) as caught:
        crnn.load(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message


NEEDED = "expected a whole number of at least 1, got"
CHANGES = {
    "newer": ({"version": 3}, "version 3: a newer crnn wrote it"),
    "no version": ({"version": "1"}, f"version: {NEEDED} '1'"),
    "format": ({"format": "other"}, "a file of something else"),
    "cell": (
        {"cell": "LSTM"},
        f"cell: expected one of {', '.join(CELLS)}, got 'LSTM'",
    ),
    "dtype": ({"dtype": "object"}, "dtype: expected one of float32, float64, got 'object'"),
    "other dtype": ({"dtype": "float64"}, r"expected float64 \(\d+,\), got float32"),
    "sizes": ({"hidden_size": 6}, r"expected float32 \(\d+,\), got float32"),
    "negative": ({"hidden_size": -5}, f"hidden_size: {NEEDED} -5"),
    "boolean": ({"input_size": True}, f"input_size: {NEEDED} True"),
    "float": ({"hidden_size": 5.0}, f"hidden_size: {NEEDED} 5.0"),
    "output size": ({"output_size": 0}, "output_size: expected a whole number of at least 1 or"),
    "layers": ({"num_layers": 0}, "num_layers: expected a whole number from 1 to 1000, got 0"),
    "many layers": ({"num_layers": 10**9}, "num_layers: expected a whole number from 1 to 1000"),
    "other layers": ({"num_layers": 2}, "expected float32"),
    "no layers": ({"num_layers": None}, "num_layers: expected a whole number .* got None"),
    "directions": ({"bidirectional": 1}, "bidirectional: expected true or false, got 1"),
    "outputs": ({"return_sequences": "no"}, "return_sequences: expected true or false, got 'no'"),
    "categories": ({"categorical": 0}, "categorical: expected true or false, got 0"),
    "dropout": ({"dropout": 1.0, "num_layers": 2}, "dropout: expected .* below 1, got 1.0"),
    "dropout of one layer": ({"dropout": 0.5}, "dropout: expected .* one layer, got 0.5"),
    "no dropout": ({"dropout": False}, "dropout: expected 0.0 with one layer, got False"),
    "giant": ({"hidden_size": 10**12}, "expected float32"),
    "giant beyond integers": ({"hidden_size": 10**400}, "expected"),
}


@pytest.mark.parametrize(("changes", "match"), CHANGES.values(), ids=CHANGES)
def test_descriptions_that_are_wrong(saved, tmp_path, changes, match):
    refused(tmp_path, rewritten(saved[1], **changes), match)


def test_honest_rewriting_is_read(saved, tmp_path):
    """So that what the tests around this one change is what makes them fail."""
    net, data = saved
    (tmp_path / "again.npz").write_bytes(rewritten(data))
    assert np.array_equal(crnn.load(tmp_path / "again.npz").flat_params, net.flat_params)


def test_a_file_of_something_else(tmp_path):
    refused(tmp_path, b"hello, this is a text\n" * 50, "no such file")


def test_arrays_that_are_wrong(saved, tmp_path):
    net, data = saved
    n = net.flat_params.size
    refused(tmp_path, rewritten(data, drop=["parameters.npy"]), "expected the arrays parameters")
    for array in (np.zeros(n), np.zeros(n + 1, np.float32), np.zeros((1, n), np.float32)):
        changed = {"drop": ["parameters.npy"], "add": [("parameters.npy", npy(array))]}
        refused(tmp_path, rewritten(data, **changed), "expected float32")


@pytest.mark.slow
def test_thousands_of_mutations(saved, tmp_path):
    """Each is refused in one sentence, or loads exactly the network that was saved.

    The latter happens where a byte has no meaning, such as a date.
    """
    net, data = saved
    path = tmp_path / "mutated.npz"
    loaded = 0
    for mutated in mutations(data, 1200, seed=0):
        path.write_bytes(mutated)
        try:
            twin = crnn.load(path)
        except crnn.ModelFileError as error:
            assert str(path) in str(error)  # noqa: PT017
        else:
            loaded += 1
            assert twin.flat_params.tobytes() == net.flat_params.tobytes()
            assert repr(twin) == repr(net)
    assert 0 < loaded < 300
