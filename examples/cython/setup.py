"""Build the examples of this folder: python setup.py build_ext --inplace."""

from Cython.Build import cythonize
from setuptools import setup

# crnn is found where it is installed; there is nothing to include or to link.
setup(name="examples", ext_modules=cythonize(["training.pyx", "control.pyx"]))
