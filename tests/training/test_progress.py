"""The progress bar of fit: where there is one, what it shows, and that tqdm is optional."""

import sys

import numpy as np
import pytest

pytest.importorskip("tqdm")
N, T, I, O = 7, 5, 3, 2


def data():
    rng = np.random.default_rng(0)
    return rng.standard_normal((N, T, I)), rng.standard_normal((N, T, O))


def test_no_bar_without_a_terminal(build_network, capsys):
    x, y = data()
    build_network().fit(x, y, epochs=2)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_a_bar_on_request(build_network, capsys):
    x, y = data()
    history = build_network().fit(x, y, epochs=3, progress=True, validation_fraction=0.5)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "3/3" in captured.err
    assert f"loss={history.loss[-1]:.4g}" in captured.err
    assert f"val_loss={history.val_loss[-1]:.4g}" in captured.err
    assert "sequences/s" in captured.err


def test_a_bar_on_a_terminal_and_none_when_refused(build_network, capsys, monkeypatch):
    x, y = data()
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    build_network().fit(x, y, epochs=3)
    assert "3/3" in capsys.readouterr().err
    build_network().fit(x, y, epochs=3, progress=False)
    assert capsys.readouterr().err == ""


def hide_tqdm(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "tqdm"]:
        monkeypatch.setitem(sys.modules, name, None)
    for name in ("tqdm", "tqdm.auto", "tqdm.std"):
        monkeypatch.setitem(sys.modules, name, None)


def test_tqdm_is_not_needed(build_network, capsys, monkeypatch):
    hide_tqdm(monkeypatch)
    x, y = data()
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert len(build_network().fit(x, y, epochs=2).loss) == 2
    assert len(build_network().fit(x, y, epochs=2, progress=False).loss) == 2
    capsys.readouterr()


def test_a_bar_asked_for_without_tqdm_says_what_to_install(build_network, monkeypatch):
    hide_tqdm(monkeypatch)
    net = build_network()
    before = net.flat_params.tobytes()
    x, y = data()
    with pytest.raises(ImportError, match="tqdm"):
        net.fit(x, y, epochs=2, progress=True)
    assert net.flat_params.tobytes() == before


def test_the_bar_does_not_change_the_training(build_network, capsys):
    results = []
    for progress in (True, False):
        net = build_network()
        history = net.fit(*data(), epochs=3, batch_size=2, seed=1, progress=progress)
        results.append((history.loss, net.flat_params.tobytes()))
    assert results[0] == results[1]
    capsys.readouterr()
