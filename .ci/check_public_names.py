"""Check that integrations and applications import no private name of crnn.

Run in the root of the repository: `python .ci/check_public_names.py`.

A name is private if it, or a module on the way to it, starts with an underscore. Modules of one
package may share private names. Imports for type checking count, too. Private attributes are found
by ruff (SLF), forbidden modules with public names by import-linter.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

PACKAGES = (
    *("torch", "keras", "onnx", "sklearn", "flax", "river", "audio", "export"),
    *("forecasting", "text", "cli", "demos"),
)


def is_private(name: str) -> bool:
    """Return whether the name starts with an underscore and is not one like `__version__`."""
    return name.startswith("_") and not name.endswith("__")


def private_imports(tree: ast.Module, package: str) -> Iterator[tuple[int, str]]:
    """Yield the line and name of each private import from crnn, from outside its package."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module or ''}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            root, *rest = name.split(".")
            if root == "crnn" and rest[:1] != [package] and any(map(is_private, rest)):
                yield node.lineno, name


def main() -> None:
    """Print each private import; exit with 1 if there is one."""
    found = []
    for package in PACKAGES:
        module, folder = Path(f"crnn/{package}.py"), Path(f"crnn/{package}")
        files = [module] if module.exists() else sorted(folder.rglob("*.py"))
        if not files:
            sys.exit(f"{folder}: no such module or package; PACKAGES needs its new name")
        for path in files:
            tree = ast.parse(path.read_text(encoding="utf-8"))
            found += [f"{path}:{line}: {name}" for line, name in private_imports(tree, package)]
    if found:
        sys.exit("\n".join(["private names imported from crnn:", *found]))


if __name__ == "__main__":
    main()
