"""Make a built wheel one to hand out: give it a portable tag and check its contents.

`make dist` runs it in the root of the repository, with the folder that holds an sdist and a wheel.
On Linux the wheel is repaired to a manylinux tag, and the repaired one takes its place.
"""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

MOST_BYTES = 2_000_000
# Sources of what is compiled, and what a build may leave beside them
NOT_SHIPPED = {".c", ".pyx", ".pxi", ".in", ".html"}


def only(folder: Path, pattern: str) -> Path:
    """Return the only file that matches the pattern."""
    (found,) = folder.glob(pattern)
    return found


def repaired(wheel: Path) -> Path:
    """Return the wheel with a tag that names the systems on which it runs."""
    if not sys.platform.startswith("linux"):
        return wheel
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = [sys.executable, "-m", "auditwheel", "repair", "--wheel-dir", wheel.parent, wheel]
    subprocess.run(command, check=True, env=environment)
    wheel.unlink()
    return only(wheel.parent, "*.whl")


def complaints(wheel: Path, sdist: Path) -> list[str]:
    """Return what is wrong with the contents, compared with the files that git tracks."""
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
    with tarfile.open(sdist) as archive:
        sources = {name.partition("/")[2] for name in archive.getnames()}
    listing = subprocess.run(["git", "ls-files"], capture_output=True, text=True, check=True)
    tracked = set(listing.stdout.splitlines())
    visible = {name for name in tracked if not name.startswith(".")}
    found = [f"the sdist lacks {name}" for name in sorted(visible - sources)]
    built = {name for name in sources - tracked if Path(name).suffix in {".c", ".so", ".pyd"}}
    found += [f"the sdist holds {name}" for name in sorted(built)]

    package = {name for name in tracked if name.startswith("crnn/")}
    information = "-".join(wheel.name.split("-")[:2]) + ".dist-info/"
    wanted = {name for name in package if Path(name).suffix not in NOT_SHIPPED}
    wanted.add(f"{information}licenses/LICENSE")
    modules = {name.removesuffix(".pyx") for name in package if name.endswith(".pyx")}
    if not wheel.stem.endswith(("x86_64", "amd64")):
        modules = {name for name in modules if not name.startswith("crnn/kernels/_avx")}
    extensions = {name for name in names if name.endswith((".so", ".pyd"))}
    extensions = {name for name in extensions if name.partition(".")[0] in modules}
    lacking = (wanted - names) | (modules - {name.partition(".")[0] for name in extensions})
    found += [f"the wheel lacks {name}" for name in sorted(lacking)]
    strange = {name for name in names - wanted - extensions if not name.startswith(information)}
    found += [f"the wheel holds {name}" for name in sorted(strange)]
    if wheel.stat().st_size > MOST_BYTES:
        found.append(f"the wheel has {wheel.stat().st_size} bytes, more than {MOST_BYTES}")
    return found


def main() -> None:
    """Repair and check."""
    folder = Path(sys.argv[1]).resolve()
    wheel = repaired(only(folder, "*.whl"))
    found = complaints(wheel, only(folder, "*.tar.gz"))
    if found:
        sys.exit("\n".join(found))
    print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.2f} MB, contents as they should be")


if __name__ == "__main__":
    main()
