"""The version, read by the build and by `crnn.show_config()`."""

__version__ = "0.1.0"
