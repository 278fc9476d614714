"""What makes a built wheel one to hand out: a portable tag, the right contents, a passing suite.

Run by `make wheel` in the repository's root, with the folder that holds an sdist and a wheel. On
Linux the wheel is repaired to a manylinux tag, and the repaired one takes its place.
"""

import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

MOST_BYTES = 2 << 20
NOT_SHIPPED = {".c", ".pyx", ".pxi", ".html"}
MODULES = {"native", "_baseline"}
X86_64_MODULES = {"_avx2", "_avx512"}


def only(folder: Path, pattern: str) -> Path:
    """Return the one file of that pattern."""
    (found,) = folder.glob(pattern)
    return found


def repaired(wheel: Path) -> Path:
    """Return the wheel with a tag that says on which systems it runs."""
    if not sys.platform.startswith("linux"):
        return wheel
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = [sys.executable, "-m", "auditwheel", "repair", "--wheel-dir", wheel.parent, wheel]
    subprocess.run(command, check=True, env=environment)
    wheel.unlink()
    return only(wheel.parent, "*.whl")


def complaints(wheel: Path, sdist: Path) -> list[str]:
    """Return what is wrong with the contents."""
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
    with tarfile.open(sdist) as archive:
        sources = {name.partition("/")[2] for name in archive.getnames()}
    listing = subprocess.run(["git", "ls-files"], capture_output=True, text=True, check=True)
    tracked = listing.stdout.splitlines()
    package = {name for name in tracked if name.startswith("crnn/")}
    wanted = {name for name in package if Path(name).suffix not in NOT_SHIPPED}
    found = [f"the wheel lacks {name}" for name in sorted(wanted - names)]
    found += [f"the sdist lacks {name}" for name in sorted(package - sources)]
    built = {name for name in sources - set(tracked) if Path(name).suffix in {".c", ".so", ".pyd"}}
    found += [f"the sdist holds {name}" for name in sorted(built)]
    modules = MODULES | (
        X86_64_MODULES if "x86_64" in wheel.name or "amd64" in wheel.name else set()
    )
    extensions = {name for name in names - wanted if Path(name).suffix in {".so", ".pyd"}}
    for module in modules:
        if not any(name.startswith(f"crnn/kernels/{module}.") for name in extensions):
            found.append(f"the wheel lacks the extension module {module}")
    for name in names - wanted - extensions:
        if not name.startswith("crnn-"):
            found.append(f"the wheel holds {name}")
    if wheel.stat().st_size > MOST_BYTES:
        found.append(f"the wheel has {wheel.stat().st_size} bytes, more than {MOST_BYTES}")
    return found


def main() -> None:
    """Repair, check, install and test."""
    folder = Path(sys.argv[1]).resolve()
    wheel = repaired(only(folder, "*.whl"))
    found = complaints(wheel, only(folder, "*.tar.gz"))
    if found:
        sys.exit("\n".join(found))
    print(
        f"{wheel.name}: {wheel.stat().st_size / 1e6:.2f} MB, contents as they should be", flush=True
    )
    environment = Path("build/wheel-test").resolve()
    venv.create(environment, clear=True, with_pip=True)
    python = environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    subprocess.run([python, "-m", "pip", "install", "--quiet", f"{wheel}[test]"], check=True)
    suite = [python, "-m", "pytest", *sys.argv[2:]]
    subprocess.run(suite, check=True, env=os.environ | {"PYTHONSAFEPATH": "1"})


if __name__ == "__main__":
    main()
