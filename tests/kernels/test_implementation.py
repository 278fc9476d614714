"""Which implementation is imported, and what is said when it cannot be, in fresh processes.

The processes import a copy of the installed package whose extension modules are left whole,
deleted or corrupted.
"""

import importlib.machinery
import json
import shutil
import sysconfig
from pathlib import Path

import numpy as np
import pytest

import crnn

PACKAGE = Path(crnn.__file__).parent

# Import, and print as JSON what was imported and which warnings came.
REPORT = """
import json, sys, warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import crnn
messages = [[w.category.__name__, str(w.message)] for w in caught]
print(json.dumps([crnn.implementation, crnn.__file__, messages]))
"""

# Train a little, so that an implementation is seen at work and not only named.
TRAIN = """
import numpy as np
x = np.linspace(-1, 1, 24).reshape(2, 4, 3)
net = crnn.RNN(3, 5, 2, dtype="float64", seed=0)
net.fit(x, x[..., :2], epochs=2)
assert np.isfinite(net.flat_params).all()
"""


def extensions(folder):
    """The compiled modules of kernels."""
    suffixes = tuple(importlib.machinery.EXTENSION_SUFFIXES)
    return [path for path in (folder / "kernels").iterdir() if path.name.endswith(suffixes)]


@pytest.fixture
def copy(tmp_path):
    """A copy of the installed package to damage: the folder of crnn in a folder of its own."""
    target = tmp_path / "site" / "crnn"
    shutil.copytree(PACKAGE, target, ignore=shutil.ignore_patterns("__pycache__"))
    for note in ("native_build_failure.txt", "pure_python_wheel.txt"):
        (target / "kernels" / note).unlink(missing_ok=True)
    return target


@pytest.fixture
def without_extensions(copy):
    for path in extensions(copy):
        path.unlink()
    return copy


@pytest.fixture
def with_broken_extensions(copy):
    paths = extensions(copy)
    assert paths
    for path in paths:
        path.write_bytes(b"not a shared library")
    return copy


@pytest.fixture
def report(run_python):
    """Import a copy in a fresh process; give (implementation, warnings)."""

    def run(folder, code="", **variables):
        result = run_python(REPORT + code, PYTHONPATH=str(folder.parent), **variables)
        assert result.returncode == 0, result.stderr
        implementation, path, messages = json.loads(result.stdout.splitlines()[0])
        assert Path(path).parent == folder
        return implementation, messages

    return run


@pytest.fixture
def fail_to_import(run_python):
    """Import a copy in a fresh process, which must fail; give the last line of the traceback."""

    def run(folder, **variables):
        result = run_python("import crnn", PYTHONPATH=str(folder.parent), **variables)
        assert result.returncode == 1
        assert "Traceback" in result.stderr
        lines = [line for line in result.stderr.splitlines() if line.strip()]
        last = max(
            index
            for index, line in enumerate(lines)
            if line[0].isalpha() and line.split(":")[0].endswith(("Error", "Exception"))
        )
        return "\n".join(lines[last:])

    return run


def test_suite_runs_against_the_installed_package():
    assert Path(__file__).resolve().parents[2] / "crnn" != PACKAGE


def test_loading_by_name(implementation, kernels):
    expected = {"native": "crnn.kernels.native", "python": "crnn.kernels.reference"}
    assert kernels.__name__ == expected[implementation]


@pytest.mark.native
@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, "native"),
        ({"CRNN_IMPLEMENTATION": "auto"}, "native"),
        ({"CRNN_IMPLEMENTATION": "native"}, "native"),
        ({"CRNN_IMPLEMENTATION": "python"}, "python"),
    ],
)
def test_choice_by_environment(report, copy, variables, expected):
    assert report(copy, code=TRAIN, **variables) == (expected, [])


@pytest.mark.parametrize("choice", [None, "auto", "python"])
def test_falls_back_silently_when_the_extension_is_absent(report, without_extensions, choice):
    variables = {} if choice is None else {"CRNN_IMPLEMENTATION": choice}
    assert report(without_extensions, code=TRAIN, **variables) == ("python", [])


def test_native_refuses_when_the_extension_is_absent(fail_to_import, without_extensions):
    message = fail_to_import(without_extensions, CRNN_IMPLEMENTATION="native")
    assert message.startswith(("ImportError", "ModuleNotFoundError"))
    assert "compiled kernels" in message


@pytest.mark.native
@pytest.mark.parametrize("variables", [{}, {"CRNN_IMPLEMENTATION": "auto"}])
def test_auto_warns_when_the_extension_is_broken(report, with_broken_extensions, variables):
    implementation, messages = report(with_broken_extensions, code=TRAIN, **variables)
    assert implementation == "python"
    assert len(messages) == 1
    category, text = messages[0]
    assert category == "RuntimeWarning"
    # The reason is that of the dynamic loader, which names the file.
    assert "native" in text
    assert any(path.name in text for path in extensions(with_broken_extensions))


@pytest.mark.native
def test_auto_warns_when_the_loops_behind_the_extension_are_broken(report, copy):
    # native imports one build of the loops; each of them is damaged, native is not.
    damaged = [path for path in extensions(copy) if path.name.startswith("_")]
    for path in damaged:
        path.write_bytes(b"not a shared library")
    if damaged:
        implementation, messages = report(copy)
        assert implementation == "python"
        assert [category for category, _ in messages] == ["RuntimeWarning"]


@pytest.mark.native
def test_auto_warns_when_no_loops_are_for_this_processor(report, copy):
    for path in extensions(copy):
        if path.name.startswith("_"):
            path.unlink()
    implementation, messages = report(copy)
    assert implementation == "python"
    assert [category for category, _ in messages] == ["RuntimeWarning"]
    assert "loops that this processor runs" in messages[0][1]


@pytest.mark.native
def test_python_does_not_touch_a_broken_extension(report, with_broken_extensions):
    outcome = report(with_broken_extensions, CRNN_IMPLEMENTATION="python")
    assert outcome == ("python", [])


@pytest.mark.native
def test_native_refuses_when_the_extension_is_broken(fail_to_import, with_broken_extensions):
    message = fail_to_import(with_broken_extensions, CRNN_IMPLEMENTATION="native")
    assert message.startswith("ImportError")
    assert any(path.name in message for path in extensions(with_broken_extensions))


def test_auto_warns_of_a_failed_build(report, without_extensions):
    reason = "error: command 'cc' failed: no such file"
    failure = without_extensions / "kernels" / "native_build_failure.txt"
    failure.write_text(reason + "\n", encoding="utf-8")
    implementation, messages = report(without_extensions)
    assert implementation == "python"
    assert [category for category, _ in messages] == ["RuntimeWarning"]
    assert reason in messages[0][1]
    # Whoever chose python does not want to hear of it.
    assert report(without_extensions, CRNN_IMPLEMENTATION="python") == ("python", [])


def test_auto_warns_once_where_no_wheel_has_compiled_kernels(report, without_extensions):
    (without_extensions / "kernels" / "pure_python_wheel.txt").touch()
    implementation, messages = report(without_extensions, code=TRAIN)
    assert implementation == "python"
    assert [category for category, _ in messages] == ["RuntimeWarning"]
    build = sysconfig.get_config_var("EXT_SUFFIX").split(".")[1]  # such as cp313-win_amd64
    assert f"({build})" in messages[0][1]
    assert "--no-binary crnn" in messages[0][1]
    assert report(without_extensions, CRNN_IMPLEMENTATION="python") == ("python", [])


def test_auto_warns_in_the_source_folder(report, without_extensions):
    # The Cython source is in no installed package: where it lies, the package is the source folder.
    (without_extensions / "kernels" / "native.pyx").touch()
    implementation, messages = report(without_extensions)
    assert implementation == "python"
    assert [category for category, _ in messages] == ["RuntimeWarning"]
    assert "source folder" in messages[0][1]


def test_native_gives_the_reason_of_a_failed_build(fail_to_import, without_extensions):
    reason = "error: command 'cc' failed: no such file"
    failure = without_extensions / "kernels" / "native_build_failure.txt"
    failure.write_text(reason + "\n", encoding="utf-8")
    message = fail_to_import(without_extensions, CRNN_IMPLEMENTATION="native")
    assert message.startswith(("ImportError", "ModuleNotFoundError"))
    assert reason in message


def test_unknown_choice(fail_to_import, copy):
    message = fail_to_import(copy, CRNN_IMPLEMENTATION="fortran")
    assert message.startswith(("ImportError", "ValueError"))
    for fragment in ("CRNN_IMPLEMENTATION", "auto", "native", "python", "fortran"):
        assert fragment in message


def test_network_chooses_too(run_python, without_extensions):
    code = """
import crnn
assert crnn.RNN(3, 5, 2, seed=0, implementation="python").W_hh.shape == (5, 5)
crnn.RNN(3, 5, 2, seed=0, implementation="native")
"""
    result = run_python(code, PYTHONPATH=str(without_extensions.parent))
    assert "ModuleNotFoundError: the compiled kernels are absent" in result.stderr


@pytest.mark.native
@pytest.mark.parametrize("imported", ["native", "python"])
def test_both_implementations_in_one_process(run_python, imported):
    code = """
import crnn, numpy as np
x = np.linspace(-1, 1, 24).reshape(2, 4, 3)
results = []
for name in ("native", "python"):
    net = crnn.RNN(3, 5, 2, dtype="float64", seed=0, implementation=name)
    results.append(net.predict(x))
np.testing.assert_allclose(results[0], results[1], rtol=1e-12)
print(crnn.implementation)
"""
    result = run_python(code, CRNN_IMPLEMENTATION=imported)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == imported


@pytest.mark.native
def test_unknown_instruction_set_is_not_passed_over(run_python):
    result = run_python("import crnn", CRNN_CPU="mmx")
    assert result.returncode == 1
    for fragment in ("CRNN_CPU", "baseline", "mmx"):
        assert fragment in result.stderr


@pytest.mark.native
def test_instruction_set_that_this_processor_lacks(run_python):
    core = np._core if hasattr(np, "_core") else np.core
    if core._multiarray_umath.__cpu_features__.get("AVX512F", False):
        pytest.skip("this processor runs every build of the loops")
    result = run_python("import crnn", CRNN_IMPLEMENTATION="native", CRNN_CPU="avx512")
    assert result.returncode == 1
    for fragment in ("CRNN_CPU", "avx512", "baseline"):
        assert fragment in result.stderr


def test_python_ignores_the_instruction_set(run_python):
    result = run_python(
        "import crnn; print(crnn.implementation)", flags=("-W", "error"),
        CRNN_IMPLEMENTATION="python", CRNN_CPU="baseline",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "python"


@pytest.mark.native
def test_show_config_of_native(run_python):
    result = run_python(
        "import crnn; crnn.show_config()", CRNN_IMPLEMENTATION="native", CRNN_CPU="baseline"
    )
    assert result.returncode == 0, result.stderr
    for fragment in (crnn.__version__, "native", "CRNN_IMPLEMENTATION", "baseline", "CRNN_CPU"):
        assert fragment in result.stdout


def test_show_config_of_python(run_python):
    result = run_python("import crnn; crnn.show_config()", CRNN_IMPLEMENTATION="python")
    assert result.returncode == 0, result.stderr
    for fragment in (crnn.__version__, "python", "CRNN_IMPLEMENTATION"):
        assert fragment in result.stdout


def test_show_config_says_why_native_does_not_run(run_python, without_extensions):
    failure = without_extensions / "kernels" / "native_build_failure.txt"
    failure.write_text("cc: not found\n", encoding="utf-8")
    result = run_python(
        "import crnn; crnn.show_config()",
        flags=("-W", "ignore"),
        PYTHONPATH=str(without_extensions.parent),
    )
    assert result.returncode == 0, result.stderr
    assert "cc: not found" in result.stdout


def test_numpy_is_all_that_training_needs(run_python):
    code = """
import sys
for name in ("tqdm", "click", "matplotlib", "pandas", "scipy", "torch", "pytest", "Cython"):
    sys.modules[name] = None
import crnn
"""
    result = run_python(code + TRAIN, flags=("-W", "error"))
    assert result.returncode == 0, result.stderr


def test_forecasters_need_no_pandas(run_python):
    code = """
import sys
sys.modules["pandas"] = None
from crnn import forecasting
assert set(forecasting.__all__) <= set(dir(forecasting))
forecasting.Forecaster()
try:
    from crnn.forecasting import read_csv
except ImportError as error:
    print(error)
"""
    result = run_python(code, flags=("-W", "error"))
    assert "crnn[cli]" in result.stdout, result.stderr


def test_import_is_light(run_python):
    code = """
import sys
import crnn
heavy = {"tqdm", "click", "matplotlib", "pandas", "scipy", "torch", "sklearn", "onnx"}
print(sorted(heavy & set(sys.modules)))
"""
    result = run_python(code, flags=("-W", "error"))
    assert result.stdout.strip() == "[]", result.stderr


def test_public_names():
    names = {"RNN", "SGD", "History", "DivergenceError", "show_config", "implementation"}
    assert names | {"__version__"} <= set(crnn.__all__)
    assert all(hasattr(crnn, name) for name in crnn.__all__)
