"""The option, the markers and the fixtures that the tests share."""

import functools
import os
import signal
import subprocess
import sys

import network_problems
import numpy as np
import pytest
from tolerances import TOLERANCES

import crnn._backend


def pytest_addoption(parser):
    parser.addoption(
        "--implementations",
        default="native,python",
        help="comma-separated implementations to test: native, python (default: both)",
    )


def requested_implementations(config):
    names = [name.strip() for name in config.getoption("--implementations").split(",")]
    unknown = set(names) - {"native", "python"}
    if unknown:
        raise pytest.UsageError(f"--implementations: native or python expected, got {unknown}")
    return names


def pytest_configure(config):
    # pytest-xdist registers it where it is installed.
    config.addinivalue_line("markers", "xdist_group(name): run in one process with its group")
    if config.getoption("numprocesses", None):
        # Workers are as many as cores, and threads of NumPy's BLAS would be as many in each.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # A shell script starts what it ends with `&` with interrupts ignored, and so would be every
    # program that a test starts and interrupts.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config, items):
    has_native = "native" in requested_implementations(config)
    for item in items:
        if "both_kernels" in item.fixturenames:
            item.add_marker(pytest.mark.native)
        if not has_native and item.get_closest_marker("native"):
            item.add_marker(pytest.mark.skip(reason="--implementations leaves native out"))


def pytest_generate_tests(metafunc):
    if "implementation" in metafunc.fixturenames:
        metafunc.parametrize(
            "implementation", requested_implementations(metafunc.config), indirect=True,
            # Session scope, because Hypothesis refuses fixtures that are set up once a test
            # function but would be shared by all examples.
            scope="session",
        )  # fmt: skip


@pytest.fixture(scope="session")
def implementation(request):
    """Name of the implementation under test; a missing one fails, it is never skipped."""
    crnn._backend.load(request.param)
    return request.param


@pytest.fixture(scope="session")
def kernels(implementation):
    """The kernel module of the implementation under test."""
    return crnn._backend.load(implementation)


@pytest.fixture(scope="session")
def both_kernels(request):
    """(native, reference), for tests that compare the two."""
    if "native" not in requested_implementations(request.config):
        pytest.skip("compares native with python, and --implementations leaves native out")
    return crnn._backend.load("native"), crnn._backend.load("python")


@pytest.fixture(scope="session")
def native(both_kernels):
    """The module of compiled kernels, for tests that concern it alone."""
    return both_kernels[0]


@pytest.fixture(scope="session")
def implementations(request):
    """All requested implementations, for tests that compare what each of them says."""
    return requested_implementations(request.config)


@pytest.fixture(scope="session")
def assert_close():
    """Check dtype, shape and values; the tolerance is that of the dtype."""

    def check(actual, expected, *, dtype, label=""):
        dtype = np.dtype(dtype)
        assert isinstance(actual, np.ndarray), label
        assert actual.dtype == dtype, f"{label}: dtype {actual.dtype}, expected {dtype}"
        expected = np.asarray(expected, dtype=np.float64)
        assert actual.shape == expected.shape, f"{label}: {actual.shape} != {expected.shape}"
        largest_error = TOLERANCES[dtype.name] * np.abs(expected).max(initial=0.0)
        if not np.all(np.abs(actual - expected) <= largest_error):
            # Says where, and equates infinities; too slow for every array.
            np.testing.assert_allclose(
                actual.astype(np.float64), expected, rtol=0, atol=largest_error, err_msg=label
            )

    return check


@pytest.fixture(scope="session")
def tolerances():
    return TOLERANCES


@pytest.fixture(scope="session")
def build_network(implementation):
    """`network_problems.network` with the implementation under test: all parameters random."""
    return functools.partial(network_problems.network, implementation=implementation)


@pytest.fixture(params=network_problems.ALL_CELLS.values(), ids=network_problems.ALL_CELLS)
def network_of(request, build_network):
    """Make a network of each cell."""
    return functools.partial(build_network, **request.param)


@pytest.fixture(params=network_problems.FAMILIES)
def network_of_family(request, build_network):
    """Make a network of each class."""
    return functools.partial(build_network, family=request.param)


@pytest.fixture(params=network_problems.FAMILIES)
def native_family(request, native):
    """Make a network of each class with compiled kernels."""
    return functools.partial(
        network_problems.network, family=request.param, implementation="native"
    )


@pytest.fixture(scope="session")
def run_python():
    """Run code in a fresh interpreter, outside the source folder, with no CRNN_* variable set
    but those given."""

    def run(code, *, flags=(), timeout=120, **variables):
        env = {key: value for key, value in os.environ.items() if not key.startswith("CRNN_")}
        env.pop("PYTHONWARNINGS", None)
        env.update(variables)
        return subprocess.run(
            [sys.executable, "-P", *flags, "-c", code], env=env, capture_output=True, text=True,
            timeout=timeout,
        )  # fmt: skip

    return run
