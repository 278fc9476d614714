"""The build command of the compiled kernels: all extension modules, or none and the reason why.

pyproject.toml names this command and setup.py gives it the modules. Where the C compiler fails, a
user gets the NumPy kernels and `native_build_failure.txt` beside them, which `crnn` shows when it
is imported: installers hide what a build prints. A mistake in the Cython sources is never taken
for a missing compiler, and always fails.

The wheel for systems that no other wheel serves has none on purpose. `CRNN_PURE_WHEEL=1` builds it:
`pure_python_wheel.txt` in it makes crnn say why NumPy kernels run.

Loops that repeat by a literal are templates, `NAME.pxi.in` (Tempita, which Cython ships). They are
rendered into the build folder, from where the Cython sources include them as `NAME.pxi`.
"""

import os
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

from Cython.Build import cythonize
from Cython.Tempita import Template
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py
from setuptools.errors import BaseError, CCompilerError
from setuptools.modified import newer, newer_group

COMPLAINTS_KEPT = 5


class BuildPython(build_py):
    def run(self):
        super().run()
        note = Path(self.build_lib, "crnn/kernels/pure_python_wheel.txt")
        if os.environ.get("CRNN_PURE_WHEEL") == "1":
            note.write_text("The wheel where no other one serves.\n", encoding="utf-8")
        else:
            note.unlink(missing_ok=True)


class BuildKernels(build_ext):
    def run(self):
        self.complaints = []
        # An in-place build, as for an editable install, leaves its modules in the sources too.
        folders = {Path(self.build_lib, ext._file_name).parent for ext in self.extensions}
        if self.inplace:
            folders |= {Path(ext._file_name).parent for ext in self.extensions}
        notices = [folder / "native_build_failure.txt" for folder in folders]
        for notice in notices:
            notice.unlink(missing_ok=True)
        try:
            super().run()
        except (BaseError, CCompilerError) as error:
            if any(ext.required for ext in self.extensions):
                raise
            self.warn(f"continuing without the compiled kernels: {error}")
            modules = [Path(ext._file_name).name for ext in self.extensions]
            for notice in notices:
                notice.parent.mkdir(parents=True, exist_ok=True)
                notice.write_text("\n".join([*self.complaints, str(error), ""]), encoding="utf-8")
                for module in modules:
                    notice.with_name(module).unlink(missing_ok=True)
            self.extensions = []

    def build_extensions(self):
        # Cython first and alone: only the C compiler is known to be safe to run in parallel.
        for ext in self.extensions:
            ext.sources = [self.translated(source, ext) for source in ext.sources]
        self.parallel = self.parallel or True
        with self.stderr_kept():
            super().build_extensions()

    def translated(self, source, ext):
        """Return the path of the C file for a Cython file, made anew if `ext` has changed."""
        c_file = Path(self.build_temp, source).with_suffix(".c")
        # Cython's own check always fails in an isolated build: its library is newer than all else.
        if newer_group([source, *ext.depends], c_file):
            cythonize(
                ext,
                force=True,
                build_dir=self.build_temp,
                include_path=[".", str(self.rendered(ext))],
                compiler_directives=ext.cython_directives,
            )
        return str(c_file)

    def rendered(self, ext):
        """Render the templates that `ext` depends on, as far as they are new; return the folder."""
        folder = Path(self.build_temp, "rendered")
        folder.mkdir(parents=True, exist_ok=True)
        for template in (Path(name) for name in ext.depends if name.endswith(".in")):
            target = folder / template.stem
            if newer(template, target):
                text = template.read_text(encoding="utf-8")
                rendered = Template(text, name=str(template)).substitute()
                target.write_text(rendered, encoding="utf-8")
        return folder

    @contextmanager
    def stderr_kept(self):
        """Copy the error lines that child processes print into `complaints`."""
        sys.stderr.flush()
        stderr = os.dup(2)
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as printed:
            os.dup2(printed.fileno(), 2)
            try:
                yield
            finally:
                sys.stderr.flush()
                os.dup2(stderr, 2)
                os.close(stderr)
                printed.seek(0)
                text = printed.read()
                sys.stderr.write(text)
                errors = [line for line in text.splitlines() if "error" in line.lower()]
                self.complaints = errors[:COMPLAINTS_KEPT]
