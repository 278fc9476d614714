"""Workers change nothing: fleets that joblib's processes or a cluster train have the same bits."""

import contextlib
import logging
import os
import re
import signal
import warnings

import numpy as np
import pytest

import crnn
import crnn.jobs

joblib = pytest.importorskip("joblib")

# Two shares of full lanes and one of a half
N, I, O = 40, 3, 2
MAIN = os.getpid()


def data(form):
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(2, 12, 9, I))
    y = y[..., :O]
    if form == "own":
        x = np.stack([x + n for n in range(N)])
        x[5, 0, 0, 0] = np.nan
    elif form == "own targets":
        y = np.stack([y + n for n in range(N)])
    elif form == "ragged":
        x = [[x[b, : 1 + (b + n) % 9] for b in range(1 + n % 12)] for n in range(N)]
        y = [[y[b, : len(one)] for b, one in enumerate(of_model)] for n, of_model in enumerate(x)]
        x[5][0] = np.full_like(x[5][0], np.inf)
    return x, y


def fleet(implementation=crnn.implementation, dtype="float64", hidden_size=2):
    return crnn.Fleet(
        crnn.GRU(I, hidden_size, O, dtype=dtype, implementation=implementation), n=N, seed=2
    )


def bits(models, optimizer, history):
    """Return all that training changes, as bytes."""
    state = models._states[optimizer]
    vectors = [one for one in state.memory.values() if one is not None]
    arrays = [
        models.flat_params, state.steps, *vectors, history.loss, history.val_loss,
        history.grad_norm, history.best_epoch, history.best_loss, history.epochs,
        *history.settings.values(),
    ]  # fmt: skip
    return [(one.shape, one.tobytes()) for one in arrays], history.errors


def trained(form, models, lr=0.01, **settings):
    """Train twice, so that the second run starts from an optimizer's state; return all bits."""
    x, y = data(form)
    optimizer = crnn.Adam(lr, weight_decay=0.01)
    rates = np.full(N, 0.01)
    rates[7] = 1e300  # diverges
    found = []
    few = models.implementation == "python"  # which is slow
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(1 if few else 2):
            history = models.fit(
                x, y, epochs=1 if few else 4, batch_size=5, optimizer=optimizer,
                lr=None if callable(lr) else rates, l1=0.001, patience=2, clip_norm=1.0,
                validation_data=data("shared"), **settings,
            )  # fmt: skip
            found.append(bits(models, optimizer, history))
    return found, [str(one.message) for one in caught]


@pytest.mark.parametrize("form", ["shared", "own", "own targets", "ragged"])
def test_the_same_bits_and_warnings(implementation, form):
    alone = trained(form, fleet(implementation))
    assert alone == trained(form, fleet(implementation), n_jobs=2)
    errors = alone[0][0][1]
    assert sorted(errors) == ([5, 7] if form in ("own", "ragged") else [7])


@pytest.mark.native
def test_the_same_bits_with_threads():
    alone = trained("shared", fleet())
    with joblib.parallel_config("threading", n_jobs=3):
        assert trained("shared", fleet()) == alone


@pytest.mark.native
def test_models_of_many_units_and_a_schedule():
    def lr(step):
        return 0.02 / (1 + step)

    alone = trained("shared", fleet("native", "float32", 17), lr)
    assert alone == trained("shared", fleet("native", "float32", 17), lr, n_jobs=3)


@pytest.mark.native
def test_masks_and_lengths():
    x, y = data("shared")
    rng = np.random.default_rng(0)
    settings = {"lengths": rng.integers(1, 10, (N, 12)), "mask": rng.random((N, 12, 9)) + 0.1}
    results = []
    for n_jobs in (None, 2):
        models, optimizer = fleet(), crnn.SGD(0.01, momentum=0.9)
        history = models.fit(
            x, y, epochs=3, batch_size=5, optimizer=optimizer, n_jobs=n_jobs, **settings
        )
        results.append(bits(models, optimizer, history))
    assert results[0] == results[1]


@pytest.mark.native
def test_generators_go_on():
    models, others = fleet(), fleet()
    rngs, theirs = ([np.random.default_rng(n) for n in range(N)] for _ in range(2))
    for n_jobs in (2, None):
        models.fit(*data("shared"), epochs=2, batch_size=5, seed=rngs, n_jobs=n_jobs)
        others.fit(*data("shared"), epochs=2, batch_size=5, seed=theirs)
        assert models.flat_params.tobytes() == others.flat_params.tobytes()


@pytest.mark.native
def test_constraints_leaks_and_a_fraction_of_validation():
    x, y = data("shared")
    results = []
    for n_jobs in (None, 2):
        net = crnn.RNN(I, 4, O, leak=0.3, trainable_leak=True)
        models, optimizer = crnn.Fleet(net, N, seed=2), crnn.Adam(0.05)
        history = models.fit(
            x, y, epochs=3, batch_size=5, optimizer=optimizer, n_jobs=n_jobs,
            constraints={"W_hh": crnn.constraints.Sign([1, 1, 1, -1])}, l1=0.01,
            validation_fraction=0.25, patience=1, monitor="loss",
        )  # fmt: skip
        assert (models[3].W_hh[:, 3] <= 0).all()
        results.append(bits(models, optimizer, history))
    assert results[0] == results[1]


def test_callbacks_are_refused_with_workers():
    models = fleet()
    with pytest.raises(ValueError, match="callbacks: expected none with 2 workers"):
        models.fit(*data("shared"), epochs=1, callbacks=[lambda *_: None], n_jobs=2)
    called = []
    models.fit(*data("shared"), epochs=1, callbacks=[lambda *_: called.append(1)], n_jobs=1)
    assert called == [1]


def fit_fails(lr, error, match):
    models, optimizer = fleet(), crnn.SGD(lr)
    before = models.flat_params.tobytes()
    # They would change the first parameters.
    constraints = {"W_xh": crnn.constraints.NonNegative()}
    with pytest.raises(error, match=match):
        models.fit(
            *data("shared"), epochs=2, batch_size=5, optimizer=optimizer, n_jobs=2,
            constraints=constraints,
        )  # fmt: skip
    assert models.flat_params.tobytes() == before
    assert not models._states[optimizer].steps.any()
    assert models.history is None


def test_an_error_of_a_worker_changes_nothing():
    main = MAIN

    def lr(step):
        return -1.0 if step == 3 and os.getpid() != main else 0.01

    fit_fails(lr, ValueError, re.escape("lr(3): expected a finite number of at least 0, got -1.0"))


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_a_killed_process_of_this_machine_changes_nothing():
    main = MAIN

    def lr(step):
        if step == 3 and os.getpid() != main:
            os.kill(os.getpid(), 9)
        return 0.01

    fit_fails(lr, RuntimeError, "a worker process has ended from outside")
    # Processes that are started after it work.
    assert crnn.jobs.run(pow, [(2, 3), (3, 2)], n_jobs=2) == [8, 9]


def test_ctrl_c_changes_nothing(monkeypatch):
    def advance(self, count):
        raise KeyboardInterrupt

    monkeypatch.setattr("crnn._training.progress.ProgressBar.advance", advance)
    fit_fails(0.01, KeyboardInterrupt, None)


def test_processes_of_a_machine_share_a_memory_map():
    big = np.arange(200_000.0)

    def place(x, n):
        assert x[n] == n
        return x.filename

    assert len(set(crnn.jobs.run(place, [(big, n) for n in range(5)], n_jobs=2))) == 1


def test_tasks_in_order_and_how_many_are_completed():
    for n_jobs in (1, 2):
        counts = []
        tasks = [(2, n) for n in range(5)]
        results = crnn.jobs.run(
            pow, tasks, n_jobs, after_task=lambda *now, counts=counts: counts.append(now)
        )
        assert results == [1, 2, 4, 8, 16]
        assert counts == [(n, 5) for n in range(1, 6)]
    assert crnn.jobs.run(pow, [], n_jobs=2) == []


@pytest.mark.parametrize(
    ("n_jobs", "error", "message"),
    [
        (0, ValueError, "n_jobs: expected None or a whole number but 0, got 0"),
        (1.5, TypeError, "n_jobs: expected a whole number, got 1.5"),
        (True, TypeError, "n_jobs: expected a whole number, got True"),
    ],
)
def test_bad_numbers_of_jobs(n_jobs, error, message):
    with pytest.raises(error, match=re.escape(message)):
        fleet().fit(*data("shared"), epochs=1, n_jobs=n_jobs)


def test_no_more_processes_than_tasks(monkeypatch):
    asked, parallel = [], joblib.Parallel

    def noted(n_jobs, **options):
        asked.append(n_jobs)
        return parallel(n_jobs, **options)

    monkeypatch.setattr(joblib, "Parallel", noted)
    assert crnn.jobs.run(pow, [(2, 3), (3, 2)], n_jobs=500) == [8, 9]
    assert asked == [2]


class Unsent(Exception):  # noqa: N818
    """An error that pickle takes and does not give back."""

    def __init__(self, one, another):
        super().__init__(one)


def test_an_error_that_cannot_be_sent_is_no_process_that_has_ended():
    def task(number):
        raise Unsent(number, 1)

    with pytest.raises(Exception, match="un-serialize"):
        crnn.jobs.run(task, [(1,), (2,)], n_jobs=2)


def test_workers():
    assert crnn.jobs.count_workers() == crnn.jobs.count_workers(1) == 1
    assert crnn.jobs.count_workers(3) == 3
    with joblib.parallel_config("loky", n_jobs=5):
        assert crnn.jobs.count_workers() == 5


def test_joblib_is_optional(run_python):
    code = """
import sys
sys.modules["joblib"] = None
import crnn, crnn.jobs
assert crnn.jobs.run(pow, [(2, 3)]) == crnn.jobs.run(pow, [(2, 3)], n_jobs=1) == [8]
try:
    crnn.jobs.run(pow, [(2, 3)], n_jobs=2)
except ImportError as error:
    print(error)
"""
    result = run_python(code)
    assert result.stdout.strip() == "n_jobs=2 needs joblib: pip install 'crnn[jobs]'", result.stderr
    loaded = run_python("import crnn, sys; print('joblib' in sys.modules)")
    assert loaded.stdout.strip() == "False", loaded.stderr


def test_machines_with_another_version_or_instruction_set(monkeypatch):
    monkeypatch.setattr("crnn.jobs.__version__", "0.0.7")
    message = re.escape(f"crnn: expected 0.0.7 on all machines, got {crnn.__version__}")
    with pytest.raises(RuntimeError, match=message):
        crnn.jobs.run(pow, [(2, 3), (3, 2)], n_jobs=2)
    monkeypatch.undo()
    monkeypatch.setattr("crnn._backend.kernels.instruction_set", "sse9")
    with pytest.warns(RuntimeWarning, match="the machines ran the loops of .*sse9"):
        assert crnn.jobs.run(pow, [(2, 3), (3, 2)], n_jobs=2) == [8, 9]


@pytest.mark.native
def test_workers_share_the_processors(run_python):
    code = "import crnn; print(crnn.get_num_threads())"
    environment = {"CRNN_IMPLEMENTATION": "native"}
    processors = run_python(code, OMP_NUM_THREADS="", **environment).stdout.strip()
    for share, threads in (("1,4", "1"), ("many", processors)):
        result = run_python(code, OMP_NUM_THREADS=share, **environment)
        assert result.stdout.strip() == threads, (share, result.stderr)
    both = run_python(code, OMP_NUM_THREADS="1", CRNN_NUM_THREADS="3", **environment)
    assert both.stdout.strip() == "3", both.stderr


@pytest.fixture(scope="module")
def cluster():
    """Two worker processes of Dask, whose own warnings are none of crnn's."""
    with warnings.catch_warnings(), contextlib.ExitStack() as stack:
        warnings.simplefilter("ignore")
        distributed = pytest.importorskip("distributed")
        logging.getLogger("distributed").setLevel(logging.CRITICAL)
        workers = distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=":0",
            silence_logs=logging.CRITICAL,
        )  # fmt: skip
        client = stack.enter_context(distributed.Client(stack.enter_context(workers)))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            yield client


def killing(step, killed):
    """Return a schedule that kills its worker before a step, once."""
    main = MAIN

    def lr(now):
        if now == step and os.getpid() != main and not killed.exists():
            killed.write_text("")
            os.kill(os.getpid(), 9)
        return 0.01

    return lr


def places_of_a_shared_array():
    """Return where workers have it, as processes and addresses."""
    big = np.arange(200_000.0)

    def place(x, n):
        assert x[n] == n
        return os.getpid(), x.ctypes.data

    return set(crnn.jobs.run(place, [(big, n) for n in range(20)]))


@pytest.mark.native
@pytest.mark.xdist_group("dask")
@pytest.mark.parametrize("form", ["shared", "ragged"])
def test_dask_gives_the_same_bits(cluster, form):
    alone = trained(form, fleet())
    with joblib.parallel_config("dask"):
        assert crnn.jobs.count_workers() == 2
        assert trained(form, fleet()) == alone


@pytest.mark.native
@pytest.mark.xdist_group("dask")
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_dask_starts_tasks_of_a_killed_worker_again(cluster, tmp_path):
    killed = tmp_path / "killed"
    workers = set(cluster.run(os.getpid).values())
    alone = trained("own", fleet(), killing(7, killed))
    with joblib.parallel_config("dask"):
        assert trained("own", fleet(), killing(7, killed)) == alone
    cluster.wait_for_workers(2)
    assert killed.exists()
    assert len(workers & set(cluster.run(os.getpid).values())) == 1


@pytest.mark.native
@pytest.mark.xdist_group("dask")
def test_tasks_within_tasks_run_in_the_worker(cluster):
    def workers_and_places(n):
        own = os.getpid()
        within = crnn.jobs.run(os.getpid, [()] * 3) + crnn.jobs.run(os.getpid, [()] * 3, n_jobs=2)
        return crnn.jobs.count_workers(), set(within) == {own}

    with joblib.parallel_config("dask"):
        assert crnn.jobs.run(workers_and_places, [(0,), (1,)]) == [(1, True)] * 2
    assert crnn.jobs.run(workers_and_places, [(0,), (1,)], n_jobs=2) == [(1, True)] * 2


@pytest.mark.native
@pytest.mark.xdist_group("dask")
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_a_task_that_always_kills_its_worker_ends(cluster, monkeypatch):
    monkeypatch.setattr(cluster.cluster.scheduler, "allowed_failures", 0)

    def task(number):
        if number == 1:
            os.kill(os.getpid(), 9)

    with (
        joblib.parallel_config("dask"),
        pytest.raises(RuntimeError, match="workers of Dask have ended from outside"),
    ):
        crnn.jobs.run(task, [(1,)])
    cluster.wait_for_workers(2)


@pytest.mark.native
@pytest.mark.xdist_group("dask")
def test_dask_sends_shared_data_once_to_each_worker(cluster):
    with joblib.parallel_config("dask"):
        places = places_of_a_shared_array()
    assert len(places) == len({process for process, _ in places})


@pytest.mark.native
@pytest.mark.slow
def test_ray(tmp_path):
    """It takes some 20 s, and is no part of the suite's dependencies."""
    ray = pytest.importorskip("ray")
    from ray.util.joblib import register_ray

    killed = tmp_path / "killed"
    alone = trained("own", fleet(), killing(7, killed))
    ray.init(num_cpus=2, include_dashboard=False, logging_level=logging.CRITICAL)
    try:
        register_ray()
        with joblib.parallel_config("ray", n_jobs=2):
            assert trained("own", fleet(), killing(7, killed)) == alone
            places = places_of_a_shared_array()
    finally:
        ray.shutdown()
    assert killed.exists()
    assert len(places) == len({process for process, _ in places})
