"""The public names: documented, complete, quick to import; and where moved names have gone."""

import importlib
import inspect
import pkgutil

import pytest

import crnn

# They need an optional library, or are documented in their own terms.
OTHERS = {"base", "cli", "demos", "forecasting", "keras", "kernels", "onnx", "sklearn", "text"}
OTHERS |= {"river", "torch"}
NAMES = {module.name for module in pkgutil.iter_modules(crnn.__path__)} - OTHERS
MODULES = ["crnn", *(f"crnn.{name}" for name in sorted(NAMES) if not name.startswith("_"))]


def test_import_brings_nothing_but_itself(run_python):
    """No optional library, and nothing of Python's own that takes time to import."""
    code = """
import sys
import numpy
import numpy.typing
before = set(sys.modules)
import crnn
names = {name.partition(".")[0] for name in set(sys.modules) - before}
print(*(name for name in names if not name.startswith(("_cython", "cython"))))
"""
    process = run_python(code)
    assert not process.stderr
    # The rest is imported already, or is small.
    small = {"contextlib", "copy", "importlib", "numbers", "threading"}
    assert set(process.stdout.split()) <= {"crnn"} | small


def test_files_are_imported_when_they_are_used(run_python):
    code = """
import sys, numpy as np, crnn
x = np.zeros((3, 4, 2))
crnn.RNN(2, 3, 2).fit(x, x, epochs=1, patience=3, metrics=["mae"])
names = ("crnn.archive", "crnn._training.checkpoints", "zipfile", "tqdm", "matplotlib", "pandas")
print([name for name in names if name in sys.modules])
"""
    assert run_python(code).stdout == "[]\n"


def test_all_is_complete():
    """`crnn.__all__` names every class and function that is there, and nothing else."""
    names = {
        name
        for name, value in vars(crnn).items()
        if not name.startswith("_") and (inspect.isclass(value) or inspect.isfunction(value))
    }
    assert names <= set(crnn.__all__)


@pytest.mark.parametrize("module", MODULES)
def test_all_names_what_is_there(module):
    namespace = vars(importlib.import_module(module))
    listed = namespace.get("__all__", [])
    assert len(set(listed)) == len(listed)
    assert set(listed) <= set(namespace)


def public_objects():
    """Every public class, function, method and property once, by name."""
    found = {}
    seen = set()
    for module in MODULES:
        namespace = vars(importlib.import_module(module))
        for name in namespace.get("__all__", ()):
            value = namespace[name]
            if value in seen or not (inspect.isclass(value) or inspect.isroutine(value)):
                continue
            seen.add(value)
            found[f"{module}.{name}"] = value
            if not inspect.isclass(value):
                continue
            for attribute, member in inspect.getmembers(value):
                function = member.fget if isinstance(member, property) else member
                is_own = str(getattr(function, "__module__", "")).startswith("crnn")
                is_member = inspect.isroutine(function)
                if not attribute.startswith("_") and is_own and is_member and function not in seen:
                    seen.add(function)
                    found[f"{module}.{name}.{attribute}"] = member
    return found


PUBLIC = public_objects()
# Users meet them, but do not construct them.
RETURNED = ("crnn.Gradients", "crnn.Optimizer", "crnn.Tape")


def sections(text):
    """The lines under each heading of a numpydoc docstring."""
    lines = inspect.cleandoc(text).splitlines()
    found, heading = {}, ""
    for line, underline in zip(lines, [*lines[1:], ""], strict=True):
        if line and underline == "-" * len(line):
            heading = line
        elif set(line) != {"-"}:
            found.setdefault(heading, []).append(line)
    return found


def documented_names(lines):
    """The names before the colons: "x, y : array" names two."""
    entries = [line.partition(" : ")[0] for line in lines if line and not line.startswith(" ")]
    names = [name.strip() for entry in entries for name in entry.split(",")]
    return [name.strip("*") for name in names]


@pytest.mark.parametrize("name", PUBLIC)
def test_docstrings(name):
    """A summary of one line, and every argument, unless it is "as `another` says"."""
    value = PUBLIC[name]
    assert value.__doc__, "no docstring"
    summary, *rest = inspect.cleandoc(value.__doc__).splitlines()
    assert summary.endswith((".", ":", "::")), summary
    assert not rest or not rest[0], "no empty line after the summary"
    if inspect.isclass(value) and (issubclass(value, Exception) or name in RETURNED):
        return
    if isinstance(value, property) or " as `" in summary:
        return
    parameters = inspect.signature(value).parameters.values()
    wanted = [p.name for p in parameters if p.name not in ("self", "cls")]
    if not wanted:
        return
    found = sections(value.__doc__)
    listed = documented_names([*found.get("Parameters", ()), *found.get("Attributes", ())])
    assert [name for name in wanted if name not in listed] == []


def test_moved_names_say_where():
    with pytest.raises(ImportError, match=r"crnn\.torch\.from_torch"):
        _ = crnn.from_torch
    with pytest.raises(ImportError, match=r"crnn\.torch\.from_torch"):
        from crnn import from_torch  # noqa: F401
    net = crnn.RNN(3, 4)
    with pytest.raises((TypeError, AttributeError), match=r"crnn\.torch\.to_torch\(net\)"):
        net.to_torch()
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = crnn.nothing
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = net.nothing
