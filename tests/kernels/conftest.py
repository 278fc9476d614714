"""Fixtures of the kernel tests: each implementation by itself."""

import pytest

import crnn._backend


@pytest.fixture(scope="session")
def native():
    """The compiled kernels, for tests marked `native`. Missing, they fail; nothing is skipped."""
    return crnn._backend.load("native")


@pytest.fixture(scope="session")
def reference():
    """The NumPy kernels."""
    return crnn._backend.load("python")


@pytest.fixture(scope="session")
def all_kernels(request):
    """The kernels of all implementations under test, for tests that compare them."""
    names = request.config.getoption("--implementations").split(",")
    return [crnn._backend.load(name.strip()) for name in names]
