"""The option, the markers and the fixtures that the tests share."""

import os
import subprocess
import sys

import numpy as np
import pytest
from tolerances import TOLERANCES

import crnn
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


def pytest_collection_modifyitems(config, items):
    if "native" in requested_implementations(config):
        return
    for item in items:
        if item.get_closest_marker("native"):
            item.add_marker(pytest.mark.skip(reason="--implementations leaves native out"))


def pytest_generate_tests(metafunc):
    if "implementation" in metafunc.fixturenames:
        metafunc.parametrize(
            "implementation",
            requested_implementations(metafunc.config),
            indirect=True,
            # Session scope, because Hypothesis refuses fixtures that are set up once a test
            # function but would be shared by all examples.
            scope="session",
        )


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
    """Make a network whose every parameter, biases included, is random and asymmetric."""

    def build(
        *,
        family="RNN",
        input_size=3,
        hidden_size=5,
        output_size=2,
        dtype="float64",
        seed=0,
        **settings,
    ):
        net = getattr(crnn, family)(
            input_size=input_size,
            hidden_size=hidden_size,
            output_size=output_size,
            dtype=dtype,
            implementation=implementation,
            **settings,
        )
        rng = np.random.default_rng(seed)
        for name, values in net.params.items():
            # Scaled by fan-in so that tanh works in its curved part, neither linear nor flat.
            scale = 0.9 / np.sqrt(values.shape[-1]) if name.startswith("W") else 0.4
            values[...] = scale * rng.standard_normal(values.shape)
        return net

    return build


@pytest.fixture(scope="session")
def run_python():
    """Run code in a fresh interpreter, outside the source folder, with no CRNN_* variable set
    but those given."""

    def run(code, *, flags=(), timeout=120, **variables):
        env = {key: value for key, value in os.environ.items() if not key.startswith("CRNN_")}
        env.pop("PYTHONWARNINGS", None)
        env.update(variables)
        return subprocess.run(
            [sys.executable, "-P", *flags, "-c", code],
            env=env,
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    return run
