"""Dense layers: what stands before, between and behind the recurrent parts of a `Sequential`."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from crnn import _backend, checks
from crnn._inputs import arrays
from crnn._typing import Array
from crnn.kernels import contracts

__all__ = ["ACTIVATIONS", "Dense"]


def _relu(a: Array) -> Array:
    return np.maximum(a, 0)


def _sigmoid(a: Array) -> Array:
    # Where e^-a overflows to infinity, its inverse is zero, the limit.
    return 1 / (1 + np.exp(-a))


def _softmax(a: Array) -> Array:
    powers: Array = np.exp(a - a.max(axis=-1, keepdims=True))
    powers /= powers.sum(axis=-1, keepdims=True)
    return powers


_FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    "relu": _relu,
    "tanh": np.tanh,
    "sigmoid": _sigmoid,
    "softmax": _softmax,
}

ACTIVATIONS = tuple(_FUNCTIONS)
"""The names of the activations that a `Dense` may have."""


class Dense:
    """A layer f(W x_t + b), the same for each step t. Its numbers do not change.

    Parameters
    ----------
    weight : array (outputs, inputs)
        W.
    bias : array (outputs,), optional
        b. Default: zeros.
    activation : {"relu", "tanh", "sigmoid", "softmax"}, optional
        f; softmax is over the outputs. Default: none, f(a) = a.
    dtype : {"float32", "float64"}, optional
        Default: that of `weight` if it is an array of one of them, otherwise float32.

    Attributes
    ----------
    weight, bias : array
        Read-only copies.
    activation : str or None
    input_size, output_size : int
    dtype : numpy dtype

    Raises
    ------
    ValueError, TypeError
        An argument does not fit.

    Examples
    --------
    >>> import crnn
    >>> layer = crnn.Dense([[1.0, 2.0], [0.0, -1.0]], activation="relu")
    >>> layer.predict([3.0, 4.0])
    array([11.,  0.], dtype=float32)
    """

    def __init__(
        self,
        weight: npt.ArrayLike,
        bias: npt.ArrayLike | None = None,
        activation: str | None = None,
        dtype: npt.DTypeLike | None = None,
    ) -> None:
        if dtype is None:
            of_weight = weight.dtype if isinstance(weight, np.ndarray) else None
            dtype = np.float64 if of_weight == np.float64 else np.float32
        like, kernels = np.empty(0, contracts.float_dtype(dtype)), _backend.kernels
        if activation is not None:
            checks.choice("activation", activation, ACTIVATIONS)
        self.activation = activation
        self.weight: Array = arrays.floats(
            "weight", weight, ("outputs inputs",), {}, like, kernels
        ).copy()
        self.output_size, self.input_size = map(int, self.weight.shape)
        if bias is None:
            bias = np.zeros(self.output_size, like.dtype)
        sizes = {"outputs": self.output_size}
        self.bias: Array = arrays.floats("bias", bias, ("outputs",), sizes, like, kernels).copy()
        self.weight.flags.writeable = self.bias.flags.writeable = False

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the weights and the results."""
        dtype: np.dtype[Any] = self.weight.dtype
        return dtype

    def __repr__(self) -> str:
        return (
            f"Dense(input_size={self.input_size}, output_size={self.output_size}, "
            f"activation={self.activation!r}, dtype='{self.dtype}')"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        # Arrays that were pickled can be written to.
        return Dense, (self.weight, self.bias, self.activation)

    def predict(self, x: npt.ArrayLike) -> Array:
        """Return the outputs.

        Parameters
        ----------
        x : array (batch, time, inputs), (time, inputs) or (inputs,)

        Returns
        -------
        array (batch, time, outputs), (time, outputs) or (outputs,)

        Raises
        ------
        ValueError, TypeError
            The shape, dtype or a value does not fit.
        """
        shapes, empty = ("batch time inputs", "time inputs", "inputs"), ("batch", "time")
        sizes, kernels = {"inputs": self.input_size}, _backend.kernels
        checked = arrays.floats("x", x, shapes, sizes, self.weight, kernels, may_be_empty=empty)
        steps = checked.reshape((1,) * (3 - checked.ndim) + checked.shape)
        return self._of_sequences(steps).reshape(*checked.shape[:-1], self.output_size)

    def _of_step(self, x: Array) -> Array:
        """Return the outputs (..., B, O) of the inputs (..., B, I) of one step or several."""
        with np.errstate(all="ignore"):
            a = x @ self.weight.T
            a += self.bias
            return a if self.activation is None else _FUNCTIONS[self.activation](a)

    def _of_sequences(self, x: Array) -> Array:
        """Return the outputs (B, T, O) of sequences (B, T, I), with the bits of `_of_step`.

        There is a product for each step, because the bits of a product depend on its size.
        """
        return np.ascontiguousarray(self._of_step(x.transpose(1, 0, 2)).transpose(1, 0, 2))
