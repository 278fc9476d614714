"""Names of array types."""

from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
"""An array whose dtype is not known to the type checker, such as float32 or float64."""
IntArray: TypeAlias = npt.NDArray[np.intp]
FloatArray: TypeAlias = npt.NDArray[np.float64]
BoolArray: TypeAlias = npt.NDArray[np.bool_]

StateT = TypeVar("StateT")
"""The public form of a state: an array, or for an LSTM the pair (h, c)."""
StateLike: TypeAlias = npt.ArrayLike | tuple[npt.ArrayLike, npt.ArrayLike]
"""What is accepted as a state."""
