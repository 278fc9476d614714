"""The example of a C program that has Python inside and steps a stream in a thread of its own."""

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest

import crnn

SOURCE = Path(__file__).parents[2] / "examples" / "c" / "control_thread.c"


@pytest.fixture(scope="module")
def program(native, tmp_path_factory):
    """The compiled example."""
    variable = sysconfig.get_config_var
    library = f"python{variable('LDVERSION')}"
    folders = [Path(variable(name)) for name in ("LIBDIR", "LIBPL") if variable(name)]
    found = [
        f for f in folders for end in ("so", "a", "dylib") if (f / f"lib{library}.{end}").exists()
    ]
    if not found or shutil.which("cc") is None:
        pytest.skip("this Python comes without the library of it, or there is no C compiler")
    path = tmp_path_factory.mktemp("program") / "control_thread"
    command = ["cc", "-std=c11", "-O1", "-Wall", "-Wextra", "-Wpedantic", "-Werror", SOURCE]
    command += ["-o", path, f"-I{sysconfig.get_path('include')}", f"-I{crnn.get_include()}"]
    command += [f"-L{found[0]}", f"-Wl,-rpath,{found[0]}", f"-l{library}", "-pthread"]
    command += f"{variable('LIBS')} {variable('SYSLIBS')} {variable('LINKFORSHARED')}".split()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return path


def run(program, network, steps):
    command = [program, sys.executable, network, str(steps)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_steps_are_those_of_predict(program, tmp_path):
    net = crnn.GRU(3, 12, 2, num_layers=2, seed=0)
    net.save(tmp_path / "net.npz")
    done = run(program, tmp_path / "net.npz", 50)
    assert done.returncode == 0, done.stderr
    t, i = np.arange(50)[:, None], np.arange(3)
    expected = net.stream().run(((t * (i + 3)) % 17 - 8) / 8)
    assert (np.array(done.stdout.split(), np.float32).reshape(50, 2) == expected).all()
    assert "50 steps: the longest took" in done.stderr


def test_errors_are_said(program, tmp_path):
    crnn.RNN(3, 4, 2, dtype="float64").save(tmp_path / "double.npz")
    crnn.RNN(65, 4, 2).save(tmp_path / "wide.npz")
    for network, expected in {
        "absent.npz": "FileNotFoundError",
        "double.npz": "RuntimeError: a step returned -2",
        "wide.npz": "ValueError: expected a network of at most 64 inputs and outputs",
    }.items():
        done = run(program, tmp_path / network, 5)
        assert (done.returncode, done.stdout) == (1, "")
        assert expected in done.stderr
