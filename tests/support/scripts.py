"""Python files outside the package, as modules for tests."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[2]


def module_of(path):
    """Return the module of a file, a path from the root of the repository."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
