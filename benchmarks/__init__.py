"""Benchmarks of crnn, run in the root of the repository with crnn installed.

`speed` times crnn and other libraries: `python -m benchmarks`. `quality` measures the errors of
trained models: `python -m benchmarks.quality.defaults`, `forecasts` or `adding`.
"""

import sys
from pathlib import Path

# `python -m` puts the root on the path, where the source folder would shadow the installed crnn.
_root = Path(__file__).resolve().parent.parent
sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != _root]
