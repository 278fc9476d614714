"""Measurements of crnn: `python -m benchmarks` from the repository's root, crnn installed."""

import sys
from pathlib import Path

# `python -m` puts the root on the path, where the source folder would shadow the installed crnn.
_root = Path(__file__).resolve().parent.parent
sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != _root]
