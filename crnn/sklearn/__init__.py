"""Estimators for scikit-learn: one output per sequence, a class or one or more numbers.

X holds one sequence a row: an array (n, time, features), an array (n, time) read as one feature a
step, or a list of arrays (time_i, features) or (time_i,) of different lengths.

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

__all__ = ["RNNClassifier", "RNNRegressor"]
