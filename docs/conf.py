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

# `x` in a docstring or on a page is code: an argument, a method, a formula's name.
default_role = "code"
autodoc_member_order = "bysource"
# PyTorch takes gigabytes, and its modules document what crnn's have of them.
autodoc_mock_imports = ["torch"]
# Types stand in the docstrings, with shapes and dtypes, which signatures cannot say.
autodoc_typehints = "none"
# The pages list their members by themselves.
autosummary_generate = False
numpydoc_show_class_members = False
# What a public docstring must have. A shape says more of an array than its name does, so that a
# description (PR07) is not asked of every parameter.
numpydoc_validation_checks = {
    "GL06", "GL07", "GL08", "SS01", "SS02", "SS04", "PR01", "PR02", "PR03", "PR04", "RT01", "YD01",
}  # fmt: skip
# Users get these from crnn and never make one; of crnn.torch's, PyTorch documents the arguments.
numpydoc_validation_exclude = {
    r"\.(DivergenceError|Gradients|Optimizer|Stream|Tape)$",
    r"\.torch\.(RNN|GRU|LSTM)$",
}
