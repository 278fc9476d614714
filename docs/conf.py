"""Configuration of Sphinx: `make docs` builds the pages and runs their examples."""

import sys
from importlib import resources
from pathlib import Path

import crnn

# The extensions of these pages
sys.path.insert(0, str(Path(__file__).parent))

project = "crnn"
author = "crnn developers"
copyright = f"2026, {author}"
version = release = crnn.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.doctest",
    "benchmark_tables",
    "mathml",
    "numpydoc",
]
html_math_renderer = "mathml"
# ziamath is installed for this font alone: systems without a font for mathematics are common.
html_static_path = ["static", str(resources.files("ziamath.fonts") / "STIXTwoMath-Regular.ttf")]
html_css_files = ["crnn.css"]
html_theme = "furo"
html_title = "crnn"
html_copy_source = False

# `x` in a docstring or on a page is code: an argument, a method, a name in a formula.
default_role = "code"
# Examples write their files to a folder that is removed.
doctest_global_setup = """
import multiprocessing.process # new processes start in the folder that it was imported in
import os, tempfile
_started_in = os.getcwd()
_folder = tempfile.TemporaryDirectory()
os.chdir(_folder.name)
"""
doctest_global_cleanup = """
os.chdir(_started_in)
_folder.cleanup()
"""
autodoc_member_order = "bysource"
# PyTorch takes gigabytes, and the pages need only the names of its classes.
autodoc_mock_imports = ["torch"]
# Docstrings have the types, with shapes and dtypes that signatures cannot express.
autodoc_typehints = "none"
# The pages choose the members themselves.
autosummary_generate = False
numpydoc_show_class_members = False
# What a public docstring must have. Not every parameter needs a description (PR07): some shapes say
# enough.
numpydoc_validation_checks = {
    "GL06", "GL07", "GL08", "SS01", "SS02", "SS04", "PR01", "PR02", "PR03", "PR04", "RT01", "YD01",
}  # fmt: skip
# Users get these from crnn and never construct one. PyTorch documents the arguments of its modules;
# the summary of a field's constructor says all there is to say.
numpydoc_validation_exclude = {
    r"\.archive\.(Field|boolean|list_of|nested|number|one_of|optional|text|whole_number)$",
    r"\.(Backtest|DivergenceError|ExportedC|Gradients|LayersTape|Optimizer|Recipe|Stream|Tape)$",
    r"\.torch\.(RNN|GRU|LSTM)$",
}
