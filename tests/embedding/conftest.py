"""Extensions in C and Cython, built once against crnn as a user's own package would be.

The tests here are one group of pytest-xdist, so one process builds them (`--dist loadgroup`).
"""

from pathlib import Path

import numpy as np
import pytest
from steppers import build_steppers, import_from

import crnn


@pytest.fixture(scope="session")
def steppers(native, tmp_path_factory):
    """(C extension, Cython extension), in a folder of their own; see `build_steppers`."""
    folder = tmp_path_factory.mktemp("embedding")
    build_steppers(folder)
    return tuple(import_from(folder, name) for name in ("stepper", "cython_stepper"))


@pytest.fixture(scope="session")
def learner(steppers):
    """The C extension that trains."""
    return import_from(Path(steppers[0].__file__).parent, "learner")


@pytest.fixture(scope="session")
def online(steppers):
    """The C extension that learns online."""
    return import_from(Path(steppers[0].__file__).parent, "online")


@pytest.fixture(scope="session")
def caller(steppers):
    """The Cython extension that calls `crnn.kernels.views`."""
    return import_from(Path(steppers[0].__file__).parent, "views_caller")


@pytest.fixture(scope="session")
def older(steppers):
    """A C extension that was written for version 1 of the header."""
    return import_from(Path(steppers[0].__file__).parent, "older")


@pytest.fixture(scope="session")
def trained(native):
    """Build a network that a few steps of training have moved away from where it started."""

    def build(I, H, O, dtype="float32", family=crnn.RNN):
        net = family(I, H, O, dtype=dtype, seed=0, implementation="native")
        rng = np.random.default_rng(1)
        x, y = rng.standard_normal((4, 20, I)), rng.standard_normal((4, 20, O))
        net.fit(x, y, epochs=3, optimizer=crnn.SGD(0.1))
        return net

    return build
