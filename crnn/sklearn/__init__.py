"""Estimators for scikit-learn: one output per sequence, a class or one or more numbers.

X holds one sequence a row:

- an array (n, time, features), or an array or a table (n, time) of one feature a step;
- a list, a tuple, an array of objects, or a column of pandas or polars, whose elements are
  sequences (time_i, features) or (time_i,) of different lengths;
- a table with a column for each feature, whose elements are sequences (time_i,).

Steps of NaN alone after a sequence's last number are not part of it: they are how arrays and tables
hold sequences of different lengths. NaN elsewhere is refused.

The defaults have the best mean score on some thirty small problems.
`benchmarks/quality/defaults.py` has the problems; the documentation lists what was compared.
"""

try:
    # Of scikit-learn 1.6
    from sklearn.utils.validation import validate_data as _  # noqa: F401
except ImportError as error:
    raise ImportError(
        "crnn.sklearn needs scikit-learn 1.6 or newer: pip install 'crnn[sklearn]'"
    ) from error

from crnn.sklearn.classifier import RNNClassifier
from crnn.sklearn.regressor import RNNRegressor
from crnn.sklearn.scale import Scale

__all__ = ["RNNClassifier", "RNNRegressor", "Scale"]
