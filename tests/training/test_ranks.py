"""Training on several ranks: threads of this process stand for the processes of MPI."""

import copy
import os
import signal
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import thread_ranks
from network_problems import network

import crnn
from crnn._network import lengths
from crnn._network.network import Network
from crnn._training import evaluation, ranks
from crnn._training.progress import ProgressBar

N, T, I, O = 23, 7, 3, 2
EPOCHS = 2
rng = np.random.default_rng(5)
X, Y = rng.standard_normal((N, T, I)), rng.standard_normal((N, T, O))
CLASSES = rng.integers(O, size=(N, T))
LENGTHS = rng.integers(1, T + 1, size=N)
MASK = rng.random((N, T)) * (rng.random((N, T)) > 0.5)
MASK[:9] = 0
MARKS = rng.random((N, T)) > 0.7
STARTS = rng.standard_normal((N, 5))
RAGGED = [[row[:length] for row, length in zip(a, LENGTHS, strict=True)] for a in (X, Y)]
RAGGED_MASK = [row[:length] for row, length in zip(MASK, LENGTHS, strict=True)]
# Batches whose sequences are of one length, in a list of several
TWO_LENGTHS = [[row[: 3 + 2 * (number < 8)] for number, row in enumerate(a)] for a in (X, Y)]
VALIDATION = {"x": X[:9], "y": Y[:9], "lengths": LENGTHS[:9]}


class Quartic:
    """A user's loss."""

    is_mean = True

    def value(self, y_hat, y, weights=None):
        weights = np.ones(y.shape[:2]) if weights is None else weights
        return float((weights[..., None] * (y_hat - y) ** 4).sum() / weights.sum())

    def gradient(self, y_hat, y, weights=None):
        weights = np.ones(y.shape[:2]) if weights is None else weights
        return 4 * weights[..., None] * (y_hat - y) ** 3 / weights.sum()


def spread(y_hat, y):
    return y_hat.std() + len(y)


# What a network is made with, and what a run of it
RUNS = {
    "plain": ({}, {}),
    "float32": ({"dtype": "float32"}, {"optimizer": lambda: crnn.Adam(0.02)}),
    "lstm, clipped": ({"family": "LSTM"}, {"clip_norm": 0.1, "optimizer": lambda: crnn.Adam(0.02)}),
    "gru, clipped": ({"family": "GRU"}, {"clip_value": 0.01, "loss": "sse"}),
    "in order": ({}, {"shuffle": False}),
    "seed": ({}, {"seed": 4}),
    "more ranks than sequences": ({}, {"batch_size": 3}),
    "constraints": (
        {},
        {
            "constraints": {
                "W_hh": [
                    crnn.constraints.Sign([1, 1, -1, 1, -1]),
                    crnn.constraints.MaxNorm(0.5, axis=0),
                ],
                "W_xh": crnn.constraints.L1(0.3),
                "b_h": crnn.constraints.Bounds(-0.1, 0.05),
            }
        },
    ),
    "trained leaks": ({"leak": [0.1, 0.3, 0.5, 0.7, 0.9], "trainable_leak": True}, {}),
    "lengths": ({"family": "GRU"}, {"lengths": LENGTHS}),
    "mask": ({}, {"mask": MASK, "shuffle": False}),
    "mask and sum": ({}, {"mask": MASK, "loss": "sse"}),
    "mask and lengths": ({}, {"mask": MASK, "lengths": LENGTHS, "shuffle": False}),
    "skip": ({"family": "LSTM"}, {"skip": MARKS}),
    "resets": ({}, {"resets": MARKS}),
    "h0": ({}, {"h0": STARTS}),
    "ragged": ({}, {"data": RAGGED}),
    "ragged, of two lengths": ({}, {"data": TWO_LENGTHS, "shuffle": False, "batch_size": 8}),
    "ragged, with mask": ({}, {"data": RAGGED, "mask": RAGGED_MASK}),
    "list of one length": ({}, {"data": (list(X), list(Y))}),
    "bptt": ({"family": "LSTM", "trainable_h0": True}, {"bptt": 3}),
    "bptt with lengths": ({}, {"bptt": 2, "lengths": LENGTHS}),
    "bptt, ragged": ({}, {"bptt": 2, "data": RAGGED, "shuffle": False}),
    "bptt with mask": ({}, {"bptt": 2, "mask": MASK, "shuffle": False}),
    "directions": ({"bidirectional": True, "num_layers": 2, "trainable_h0": True}, {}),
    "an output a sequence": (
        {"family": "GRU", "return_sequences": False},
        {"data": (X, Y[:, 0]), "mask": MASK[:, 0]},
    ),
    "ragged, an output a sequence": (
        {"return_sequences": False},
        {"data": (RAGGED[0], Y[:, 0]), "mask": MASK[:, 0], "shuffle": False},
    ),
    "categories": (
        {"categorical": True},
        {"data": (CLASSES, CLASSES[:, ::-1]), "loss": crnn.losses.CrossEntropy({0: 0, 1: 2.0})},
    ),
    "balanced classes": (
        {},
        {
            "data": (X, (Y[..., 0] > 0.7).astype(int)),
            "loss": crnn.losses.CrossEntropy("balanced"),
            "mask": MASK,
        },
    ),
    "own loss": ({}, {"loss": Quartic(), "optimizer": lambda: crnn.SGD(1e-3)}),
    "part for validation": (
        {},
        {"validation_fraction": 0.4, "metrics": ["mae", spread], "lengths": LENGTHS},
    ),
    "validation data": ({}, {"validation_data": VALIDATION, "metrics": [spread]}),
    "metrics of training": ({}, {"metrics": ["mae"], "patience": 2}),
    "patience": (
        {},
        {
            "validation_data": VALIDATION,
            "patience": 1,
            "optimizer": lambda: crnn.SGD(3.0),
            "clip_norm": 0.5,
        },
    ),
}


def fit(implementation, comm=None, settings=(), data=(X, Y), optimizer=None, net=None, **arguments):
    if net is None:
        net = network(I, 5, O, implementation=implementation, **dict(settings))
    optimizer = crnn.SGD(0.1, momentum=0.9) if optimizer is None else optimizer()
    history = net.fit(
        *data, comm=comm, **{"epochs": EPOCHS, "batch_size": 7, "optimizer": optimizer} | arguments
    )
    return net, history, optimizer


def fit_on(size, implementation, *settings, of_rank=None, **arguments):
    """Train on so many ranks; return what each returns or raises."""
    return thread_ranks.run(
        size,
        lambda comm: fit(
            implementation,
            comm,
            *settings,
            **arguments | ({} if of_rank is None else of_rank(comm.Get_rank())),
        ),
    )


def recorded(result):
    """All that a run has made, as one list of arrays."""
    if isinstance(result, BaseException):
        raise result
    net, history, optimizer = result
    lists = [history.loss, history.val_loss, history.grad_norm, *history.metrics.values()]
    return [net.flat_params, *optimizer.memory.values(), *map(np.array, lists)]


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
def test_ranks_train_as_one_process(implementation, run):
    """With one rank the same bits, with more the same to rounding."""
    settings, arguments = run
    alone = recorded(fit(implementation, None, settings, **arguments))
    for size in (1, 4):
        results = [
            recorded(result) for result in fit_on(size, implementation, settings, **arguments)
        ]
        tolerance = 1e-5 if settings.get("dtype") == "float32" else 1e-12
        for first, expected in zip(results[0], alone, strict=True):
            if size == 1:
                np.testing.assert_array_equal(first, expected)
            np.testing.assert_allclose(
                first, expected, rtol=tolerance, atol=tolerance * np.abs(expected).max(initial=0)
            )
        for other in results[1:]:
            for one, another in zip(results[0], other, strict=True):
                np.testing.assert_array_equal(one, another)


RANDOM = {
    "dropout": ({"num_layers": 3, "dropout": 0.4}, {}),
    "of an LSTM in both directions": (
        {"family": "LSTM", "num_layers": 2, "bidirectional": True, "dropout": 0.4},
        {"lengths": LENGTHS},
    ),
    "ragged": ({"num_layers": 2, "dropout": 0.4}, {"data": RAGGED, "shuffle": False}),
    "noise": ({"noise": 0.3, "leak": 0.5, "bidirectional": True}, {"lengths": LENGTHS}),
    "skip": ({"num_layers": 2, "dropout": 0.4}, {"skip": MARKS}),
    "bptt": ({"num_layers": 2, "dropout": 0.4}, {"bptt": 2, "lengths": LENGTHS}),
    "bptt with mask": (
        {"num_layers": 2, "dropout": 0.4},
        {"bptt": 2, "mask": MASK, "shuffle": False},
    ),
}


@pytest.mark.parametrize("run", RANDOM.values(), ids=RANDOM)
def test_the_number_of_ranks_changes_no_random_number(implementation, run, monkeypatch):
    # Batches of different lengths are taken in parts.
    monkeypatch.setattr(lengths, "PADDING", 2)
    settings, arguments = run
    alone, *_ = found = [
        [recorded(result) for result in fit_on(size, implementation, settings, **arguments)]
        for size in (1, 2, 4)
    ]
    for of_ranks in found:
        for result in of_ranks:
            for values, expected in zip(result, alone[0], strict=True):
                np.testing.assert_allclose(values, expected, rtol=1e-10, atol=1e-12)
    settings = {name: settings[name] for name in settings.keys() - {"dropout", "noise"}}
    without = recorded(fit(implementation, None, settings, **arguments))
    assert not np.allclose(alone[0][0], without[0], rtol=1e-6)


def test_random_numbers_differ_between_sequences_and_steps(implementation):
    """Of equal sequences: their losses are others, and so are those of two steps at rate 0."""
    x, y = np.ones((8, 5, I)), np.ones((8, 5, O))
    settings = {"num_layers": 2, "dropout": 0.5}
    losses = {
        rows: fit_on(
            1, implementation, settings, data=(x[:rows], y[:rows]), epochs=3, shuffle=False,
            optimizer=lambda: crnn.SGD(0.0), batch_size=8,
        )[0][1].loss
        for rows in (1, 8)
    }  # fmt: skip
    assert len({*losses[1], *losses[8]}) == 6


def test_a_step_that_is_not_taken_draws_nothing(implementation):
    nets = [network(I, 5, O, num_layers=2, dropout=0.4, implementation=implementation, seed=1)]
    nets += [copy.deepcopy(nets[0]) for _ in "12"]

    def job(comm):
        net = nets[comm.Get_rank()]
        with pytest.raises(crnn.DivergenceError):
            fit(implementation, comm, net=net, loss="sse", data=(X, 1e300 * Y), shuffle=False)

    assert thread_ranks.run(2, job) == [None, None]
    states = [net._rng.bit_generator.state for net in nets]
    assert states[0] == states[1] == states[2]


@pytest.mark.parametrize("run", ["part for validation", "validation data", "patience"])
def test_ranks_share_the_batches_of_an_evaluation(implementation, run, monkeypatch):
    """All of them get the same values, from the predictions in the order of the sequences."""
    monkeypatch.setattr(evaluation, "EVALUATION_BATCH", 2)
    predicted = set()
    predict = Network.predict

    def noted(self, x, *others):
        predicted.add(threading.get_ident())
        return predict(self, x, *others)

    monkeypatch.setattr(Network, "predict", noted)
    settings, arguments = RUNS[run]
    alone = recorded(fit(implementation, None, settings, **arguments))
    predicted.clear()
    for result in fit_on(3, implementation, settings, **arguments):
        for values, expected in zip(recorded(result), alone, strict=True):
            np.testing.assert_allclose(values, expected, rtol=1e-12, atol=1e-12)
    assert len(predicted) == 3


def test_the_same_bits_again(implementation):
    first, again = (recorded(fit_on(3, implementation, {"dtype": "float32"})[0]) for _ in "12")
    for one, another in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, another)


@pytest.mark.parametrize("are_lists", [False, True], ids=["arrays", "lists"])
def test_a_rank_reads_its_share_alone(implementation, are_lists):
    """What the other rank takes may be missing: it is neither read nor checked."""

    def without_the_other_part(rank):
        x, y = X.copy(), Y.copy()
        of_other = slice(10, 20) if rank == 0 else slice(10)
        x[of_other] = y[of_other] = np.nan
        return {"data": (list(x), list(y)) if are_lists else (x, y)}

    rows = slice(20)
    alone = recorded(fit(implementation, data=(X[rows], Y[rows]), batch_size=20, shuffle=False))
    results = fit_on(
        2, implementation, batch_size=20, shuffle=False,
        of_rank=lambda rank: {"data": [a[rows] for a in without_the_other_part(rank)["data"]]},
    )  # fmt: skip
    np.testing.assert_allclose(recorded(results[0])[0], alone[0], rtol=1e-12)


def test_memory_maps(implementation, tmp_path):
    np.save(tmp_path / "x.npy", X)
    x = np.load(tmp_path / "x.npy", mmap_mode="r")
    mapped, plain = (fit_on(2, implementation, data=(a, Y)) for a in (x, X))
    np.testing.assert_array_equal(recorded(mapped[1])[0], recorded(plain[0])[0])


def check_stopped(results, kind, text, failed=None):
    """All ranks raise: those that failed the error, the others one that names the first of them.

    `failed` None: all fail alike.
    """
    for rank, result in enumerate(results):
        if failed is None or rank == failed:
            assert type(result) is kind
            assert text in str(result)
        else:
            assert type(result) is RuntimeError
            assert str(result).startswith(f"comm: rank {failed} stopped: {kind.__name__}: ")
            assert text in str(result)


def untouched(implementation):
    """Networks of three ranks, and a function that says whether they are as they were."""
    nets = [network(I, 5, O, implementation=implementation) for _ in range(3)]
    before = [net.flat_params.copy() for net in nets]

    def are_untouched():
        return all(np.array_equal(net.flat_params, b) for net, b in zip(nets, before, strict=True))

    return nets, are_untouched


def test_bad_data_of_one_rank_stop_all_before_the_first_step(implementation):
    """Sequence 21 is of rank 2's share; the others see nothing wrong."""
    x = X.copy()
    x[21, 4, 1] = np.inf
    nets, are_untouched = untouched(implementation)
    results = fit_on(3, implementation, data=(x, Y), of_rank=lambda rank: {"net": nets[rank]})
    check_stopped(results, ValueError, "sequence 21: x: expected finite numbers", failed=2)
    assert are_untouched()


def test_bad_validation_data_are_named_by_their_number(implementation):
    x = X.copy()
    x[20, 0, 0] = np.nan
    results = fit_on(2, implementation, data=(x, Y), validation_fraction=0.3)
    check_stopped(results, ValueError, "validation data: sequence 20: x: expected finite", failed=1)


def test_a_wrong_argument_of_one_rank_stops_all(implementation):
    results = fit_on(3, implementation, of_rank=lambda rank: {"epochs": 2 - 2 * (rank == 1)})
    check_stopped(results, ValueError, "epochs: expected at least 1, got 0", failed=1)


DISAGREEMENTS = {
    "hidden_size": lambda rank: {"settings": {"hidden_size": 5 + (rank == 2)}},
    "cell": lambda rank: {"settings": {"family": "GRU" if rank == 2 else "RNN"}},
    "dtype": lambda rank: {"settings": {"dtype": "float32" if rank == 2 else "float64"}},
    "parameters": lambda rank: {"settings": {"seed": int(rank == 2)}},
    "random generator": lambda rank: {"seed": int(rank == 2)},
    "epochs": lambda rank: {"epochs": 2 + (rank == 2)},
    "batch_size": lambda rank: {"batch_size": 7 + (rank == 2)},
    "loss": lambda rank: {"loss": "sse" if rank == 2 else "mse"},
    "loss (balanced)": lambda rank: {
        "data": (X, CLASSES),
        "loss": crnn.losses.CrossEntropy("balanced" if rank == 2 else None),
    },
    "optimizer": lambda rank: {"optimizer": (lambda: crnn.Adam(0.1)) if rank == 2 else None},
    "lr": lambda rank: {"optimizer": lambda: crnn.SGD(0.1 + (rank == 2))},
    "sequences": lambda rank: {"data": (X[rank == 2 :], Y[rank == 2 :])},
    "sequences' lengths": lambda rank: {"lengths": np.roll(LENGTHS, rank == 2)},
    "validation data's lengths": lambda rank: {
        "validation_data": VALIDATION | {"lengths": np.roll(LENGTHS[:9], rank == 2)}
    },
    "validation": lambda rank: {"validation_fraction": 0.3} if rank == 2 else {},
    "sequences' time steps": lambda rank: {"data": (X[:, rank == 2 :], Y[:, rank == 2 :])},
    "sequences' arguments": lambda rank: {"mask": MASK if rank == 2 else None},
    "output_size": lambda rank: {
        "data": (X, CLASSES),
        "loss": crnn.losses.CrossEntropy("balanced"),
        "settings": {"output_size": O + (rank == 2)},
    },
    "patience": lambda rank: {"patience": 1 + (rank == 2)},
    "constraints": lambda rank: {
        "constraints": {"b_h": crnn.constraints.Bounds(-1, 1 + (rank == 2))}
    },
    "metrics": lambda rank: {"metrics": ["mae"] * (rank == 2)},
    "has_checkpoint": lambda rank: {"checkpoint": os.devnull + ".x" if rank == 2 else None},
}


@pytest.mark.parametrize("name", DISAGREEMENTS)
def test_ranks_that_disagree_stop_with_a_sentence(implementation, name):
    def of_rank(rank):
        arguments = DISAGREEMENTS[name](rank)
        settings = {"hidden_size": 5, "output_size": O} | arguments.pop("settings", {})
        nets[rank] = network(I, implementation=implementation, **settings)
        before[rank] = nets[rank].flat_params.copy()
        return arguments | {"net": nets[rank]}

    nets, before = [None] * 3, [None] * 3
    results = fit_on(3, implementation, of_rank=of_rank)
    name, *_ = name.split(" (")
    check_stopped(results, ValueError, f"{name}: expected the same on all ranks, got")
    assert "rank 2" in str(results[0])
    for net, values in zip(nets, before, strict=True):
        np.testing.assert_array_equal(net.flat_params, values)


def test_ranks_with_other_fixed_leaks_stop_with_a_sentence(implementation):
    def of_rank(rank):
        leak = 0.5 if rank == 1 else 0.25
        return {"net": network(I, output_size=O, implementation=implementation, leak=leak)}

    results = fit_on(2, implementation, of_rank=of_rank)
    sentence = (
        "constraints: expected the same on all ranks, got others on rank 1 than on rank 0; pass "
        "the same, to networks with the same leak where it is fixed"
    )
    check_stopped(results, ValueError, sentence)


@pytest.mark.native
def test_implementations_that_disagree_stop_with_a_sentence():
    results = thread_ranks.run(2, lambda comm: fit(("native", "python")[comm.Get_rank()], comm))
    check_stopped(results, ValueError, "implementation: expected the same on all ranks")


def test_divergence_stops_all_alike(implementation):
    nets, are_untouched = untouched(implementation)
    results = fit_on(
        3, implementation, {}, optimizer=lambda: crnn.SGD(1e300), batch_size=N,
        of_rank=lambda rank: {"net": nets[rank]},
    )  # fmt: skip
    check_stopped(results, crnn.DivergenceError, " at epoch 2, step 2; the step was not taken")
    assert len({str(result) for result in results}) == 1
    assert not are_untouched()
    for net in nets[1:]:
        np.testing.assert_array_equal(net.flat_params, nets[0].flat_params)


def test_an_error_of_a_callback_stops_all(implementation):
    def callback_of(rank):
        def callback(net, history):
            if rank == 1 and len(history.loss) == 2:
                raise KeyError("no such thing")

        return {"callbacks": [callback], "net": nets[rank]}

    nets, _ = untouched(implementation)
    results = fit_on(3, implementation, of_rank=callback_of)
    check_stopped(results, KeyError, "'no such thing'", failed=1)
    two_epochs = recorded(fit(implementation, epochs=2))[0]
    for net in nets:
        np.testing.assert_allclose(net.flat_params, two_epochs, rtol=1e-12)
        np.testing.assert_array_equal(net.flat_params, nets[0].flat_params)


def test_a_callback_of_one_rank_ends_the_run_of_all(implementation):
    results = fit_on(
        3, implementation,
        of_rank=lambda rank: {
            "callbacks": [lambda net, history: rank == 2 and len(history.loss) == 2]
        },
    )  # fmt: skip
    assert [len(history.loss) for _, history, _ in results] == [2, 2, 2]


def test_parameters_changed_on_one_rank_are_noticed(implementation):
    def callback_of(rank):
        def callback(net, history):
            if rank == 1:
                net.b_h[0] += 1

        return {"callbacks": [callback]}

    results = fit_on(3, implementation, of_rank=callback_of)
    check_stopped(results, ValueError, "comm: the parameters of rank 1 are no longer those of rank")


def test_a_checkpoint_is_written_by_the_first_rank_and_read_by_all(implementation, tmp_path):
    def files_of(rank):
        return {"checkpoint": tmp_path / f"{rank}.npz"}

    whole = recorded(fit_on(2, implementation, epochs=5)[0])
    fit_on(2, implementation, of_rank=files_of)
    assert [path.name for path in tmp_path.iterdir()] == ["0.npz"]
    results = fit_on(2, implementation, epochs=5, resume=True, checkpoint=tmp_path / "0.npz")
    for result in results:
        for resumed, expected in zip(recorded(result), whole, strict=True):
            np.testing.assert_array_equal(resumed, expected)
    nets, are_untouched = untouched(implementation)
    results = fit_on(
        2, implementation, epochs=6, resume=True,
        of_rank=lambda rank: files_of(rank) | {"net": nets[rank]},
    )  # fmt: skip
    text = "checkpoint: expected the same on all ranks, got others on rank 1 than on rank 0"
    check_stopped(results, ValueError, text)
    assert are_untouched()


def test_a_checkpoint_that_cannot_be_written_stops_all(implementation, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()

    def callback(net, history):
        folder.rmdir()

    results = fit_on(2, implementation, checkpoint=folder / "x.npz", of_rank=lambda rank: {
        "callbacks": [callback] * (rank == 0)
    })  # fmt: skip
    assert isinstance(results[0], IsADirectoryError | FileNotFoundError | OSError)
    assert "rank 0 stopped: " in str(results[1])


def test_the_first_rank_shows_the_bar(implementation, capsys):
    pytest.importorskip("tqdm")
    fit_on(3, implementation, progress=True)
    shown = capsys.readouterr().err
    assert "100%" in shown
    assert shown.count("\n") == 1  # at the end of each bar


class Fault(Exception):  # noqa: N818
    """What no code expects."""


def trace_of_fault(number, ranks):
    """Return a trace function that raises at a line of training, and the count of its lines.

    Not at the lines with which the ranks exchange what they have found: these do not fail.
    """
    counted = [0]
    folders = tuple(str(Path(crnn.__file__).parent / name) for name in ("_training", "_inputs"))

    def at_line(frame, event, argument):
        if event == "line" and ranks and not ranks[0]._blocks_without_interrupts:
            counted[0] += 1
            if counted[0] == number:
                raise Fault
        return at_line

    def at_call(frame, event, argument):
        name = frame.f_code.co_filename
        return at_line if name.startswith(folders) and not name.endswith("ranks.py") else None

    return at_call, counted


def test_an_error_anywhere_on_one_rank_stops_all(implementation, monkeypatch, tmp_path):
    def results_and_lines(number, failing):
        made = []

        class Noted(ranks.Ranks):
            def __enter__(self):
                if self.rank == failing:
                    made.append(self)
                return super().__enter__()

        monkeypatch.setattr(ranks, "Ranks", Noted)
        trace, counted = trace_of_fault(number, made)

        def job(comm):
            net = network(I, 5, O, implementation=implementation)
            if comm.Get_rank() == failing:
                sys.settrace(trace)
            try:
                fit(
                    implementation, comm, net=net, lengths=LENGTHS, validation_fraction=0.3,
                    metrics=["mae"], epochs=1, checkpoint=tmp_path / "run.npz",
                )  # fmt: skip
            except BaseException as error:
                return error, net.flat_params
            finally:
                sys.settrace(None)

        return thread_ranks.run(2, job), counted[0]

    results_and_lines(0, 0)  # has lines that no later run has
    lines = min(results_and_lines(0, failing)[1] for failing in (0, 1))
    for number in np.linspace(1, lines, 24, endpoint=False).astype(int):
        failing = int(number % 2)
        results, _ = results_and_lines(number, failing)
        (failed, theta), (other, of_other) = results[failing], results[1 - failing]
        assert type(failed) is Fault
        assert str(other) == f"comm: rank {failing} stopped: Fault"
        np.testing.assert_array_equal(theta, of_other)


def test_an_error_after_the_last_exchange_is_of_one_rank(implementation, monkeypatch):
    """The others have what they wanted, and wait for nothing."""
    pytest.importorskip("tqdm")

    def close(self):
        if self._bar is not None:
            self._bar.close()
            raise OSError("closed")

    monkeypatch.setattr(ProgressBar, "close", close)
    failed, *others = fit_on(2, implementation, progress=True)
    assert isinstance(failed, OSError)
    recorded(others[0])


def test_an_interrupt_in_the_last_exchange_is_of_one_rank(implementation, monkeypatch):
    class Interrupted(ranks.Ranks):
        def end_epoch(self, *args, **settings):
            super().end_epoch(*args, **settings)
            if self.rank == 1:
                raise KeyboardInterrupt

    monkeypatch.setattr(ranks, "Ranks", Interrupted)
    complete, interrupted = fit_on(2, implementation, epochs=1)
    assert type(interrupted) is KeyboardInterrupt
    recorded(complete)


class Untold(Exception):  # noqa: N818
    def __str__(self):
        raise TypeError


@pytest.mark.parametrize(
    ("error", "text"),
    [(OSError("caf\udce9"), "OSError: caf\\udce9"), (Untold(), "Untold: an error without a text")],
    ids=["surrogate", "no text"],
)
def test_an_error_whose_text_cannot_be_sent_stops_all(implementation, error, text):
    def callback(net, history):
        raise error

    results = fit_on(2, implementation, of_rank=lambda rank: {"callbacks": [callback] * rank})
    assert results[1] is error
    assert str(results[0]) == f"comm: rank 1 stopped: {text}"


def test_ctrl_c_waits_for_the_end_of_a_step(implementation):
    """The step that all ranks are about to take is taken."""
    handler = signal.getsignal(signal.SIGINT)

    class Interrupting(thread_ranks.ThreadRank):
        def Alltoallv(self, send, received):  # noqa: N802
            super().Alltoallv(send, received)
            signal.raise_signal(signal.SIGINT)

    net = network(I, 5, O, implementation=implementation)
    comm = thread_ranks.alone(Interrupting)
    with pytest.raises(KeyboardInterrupt):
        fit(implementation, comm, net=net, batch_size=N, shuffle=False)
    expected, _, _ = fit(implementation, epochs=1, batch_size=N, shuffle=False)
    np.testing.assert_array_equal(net.flat_params, expected.flat_params)
    assert signal.getsignal(signal.SIGINT) is handler


REFUSALS = {
    "comm: expected a communicator of mpi4py, such as MPI.COMM_WORLD, got int": ({}, {"comm": 3}),
    "optimizer: expected one that takes a step for a gradient with comm": (
        {},
        {"optimizer": crnn.LBFGS},
    ),
    "x: expected sequences (batch, time, inputs) with comm, got shape (7, 3)": (
        {},
        {"data": (X[0], Y[0])},
    ),
    "y: expected one of 23 sequences each, as x has, got 22": ({}, {"data": (X, Y[1:])}),
    "mask: expected one of 23 sequences each": ({}, {"mask": MASK[1:]}),
    "x: expected at least one sequence, got shape (0, 7, 3)": ({}, {"data": (X[:0], Y[:0])}),
    "x[1]: x: expected at least one time step": ({}, {"data": ([X[0], X[0, :0]], [Y[0], Y[0]])}),
    "lengths: expected None with a list of sequences": ({}, {"data": RAGGED, "lengths": LENGTHS}),
    "y: expected a step that counts in the loss": ({}, {"mask": np.zeros((N, T))}),
}


@pytest.mark.parametrize("text", REFUSALS)
def test_refusals(implementation, text):
    settings, arguments = REFUSALS[text]
    arguments = {"comm": thread_ranks.alone()} | arguments
    with pytest.raises((TypeError, ValueError)) as raised:
        fit(implementation, settings=settings, **arguments)
    assert text in str(raised.value)


def test_a_loss_that_is_neither_mean_nor_sum_is_refused(implementation):
    class Whole(Quartic):
        is_mean = None

    with pytest.raises(ValueError, match="loss: expected one that is a mean or a sum over the"):
        fit(implementation, thread_ranks.alone(), loss=Whole())
