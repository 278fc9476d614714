"""Demonstrations of `crnn demo`, one a module, on data that needs no download."""
