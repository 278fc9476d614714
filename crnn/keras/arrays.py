"""Lists of arrays that users pass as the weights of Keras layers."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from crnn.keras.cells import LAYER_KINDS, LayerKind


class LayerWeights(NamedTuple):
    """The arrays of one recurrent layer."""

    name: str
    """How the caller knows them, as in "layers[1]"."""
    arrays: list[npt.NDArray[Any]]

    @property
    def directions(self) -> int:
        """2 for a Bidirectional layer: the arrays of the forward direction come first."""
        return 2 if len(self.arrays) > 3 else 1

    @property
    def places(self) -> range:
        """Where the kernel of each direction is."""
        return range(0, len(self.arrays), len(self.arrays) // self.directions)


def weights_by_layer(layers: Any) -> list[LayerWeights]:
    """Return the arrays of each layer, of which the numbers fit; or raise what is wrong."""
    if isinstance(layers, (list, tuple)) and layers and isinstance(layers[0], (list, tuple)):
        found = [
            LayerWeights(f"layers[{n}]", list_of_arrays(f"layers[{n}]", arrays))
            for n, arrays in enumerate(layers)
        ]
    else:
        found = [LayerWeights("layers", list_of_arrays("layers", layers))]
    for layer in found:
        if len(layer.arrays) not in (2, 3, 4, 6):
            raise ValueError(
                f"{layer.name}: expected 2 or 3 arrays of a layer, or 4 or 6 of a Bidirectional "
                f"one, got {len(layer.arrays)} (several layers are a list of lists, and Dense is "
                "the output)"
            )
        if layer.directions != found[0].directions:
            raise ValueError(
                f"{layer.name}: expected as many directions as in the first layer, "
                f"{found[0].directions}, got {layer.directions}"
            )
    if found[0].name == "layers":
        _check_one_layer(found[0])
    return found


def _check_one_layer(layer: LayerWeights) -> None:
    """Raise if a flat list may be two layers instead of a Bidirectional one."""
    n = len(layer.arrays)
    # The kernel of a second layer would have a row for each unit of the first.
    rows = layer.arrays[n // 2].shape[:1]
    if layer.directions == 2 and rows == layer.arrays[1].shape[:1]:
        raise ValueError(
            f"layers: expected a list of lists, because {n} arrays of these shapes may be two "
            f"layers, got {n} arrays"
        )


def list_of_arrays(name: str, value: Any) -> list[npt.NDArray[Any]]:
    """Return a list of arrays, or raise that the value is none."""
    if not isinstance(value, (list, tuple)):
        raise TypeError(f"{name}: expected a list of arrays, got {type(value).__name__}")
    for i, array in enumerate(value):
        if not isinstance(array, np.ndarray):
            raise TypeError(
                f"{name}[{i}]: expected a NumPy array, as get_weights() returns, "
                f"got {type(array).__name__}"
            )
    return list(value)


def matrix_shape(name: str, array: npt.NDArray[Any]) -> tuple[int, int]:
    """Return the rows and columns of a matrix that is not empty."""
    if array.ndim != 2 or not array.size:
        raise ValueError(f"{name}: expected a matrix, got shape {array.shape}")
    rows, columns = array.shape
    return rows, columns


def common_kind(layers: list[LayerWeights]) -> tuple[LayerKind, int]:
    """Return the kind and the units that all layers have, as their recurrent kernels show them."""
    found: list[tuple[LayerKind, int]] = []
    for layer in layers:
        name = f"{layer.name}[1]"
        units, columns = matrix_shape(name, layer.arrays[1])
        kinds = [kind for kind in LAYER_KINDS if columns == len(kind.gate_order) * units]
        if not kinds:
            raise ValueError(
                f"{name}: expected the recurrent kernel of a SimpleRNN (units, units), GRU "
                f"(units, 3*units) or LSTM (units, 4*units), got shape {layer.arrays[1].shape}"
            )
        found.append((kinds[0], units))
        if found[-1] != found[0]:
            (first, first_units), (this, this_units) = found[0], found[-1]
            raise ValueError(
                f"{layer.name}: expected {first.name} with {first_units} units as before it, got "
                f"{this.name} with {this_units} (make it a network of its own, which reads the "
                "outputs of the one before)"
            )
    return found[0]


def converted(
    name: str, array: npt.NDArray[Any], axes: str, sizes: dict[str, int], dtype: np.dtype[Any]
) -> npt.NDArray[Any]:
    """Return an array of finite numbers of that dtype and shape, or raise what is wrong.

    Parameters
    ----------
    name : str
    array : array
    axes : str
        Names in `sizes`, such as "inputs units".
    sizes : dict of int
    dtype : numpy dtype
    """
    if array.dtype.kind not in "fiub" or array.dtype.itemsize > 8:
        raise TypeError(f"{name}: expected numbers of at most 64 bits, got {array.dtype}")
    expected = {axis: sizes[axis] for axis in axes.split()}
    if array.shape != tuple(expected.values()):
        shape = ", ".join(f"{axis}={size}" for axis, size in expected.items())
        shape += "," if len(expected) == 1 else ""
        raise ValueError(f"{name}: expected shape ({shape}), got {array.shape}")
    with np.errstate(over="ignore"):
        result: npt.NDArray[Any] = array.astype(dtype)
    fits = np.isfinite(result) if array.dtype.kind == "f" else result == array
    if not fits.all():
        index = tuple(int(i) for i in np.argwhere(~fits)[0])
        is_finite = np.isfinite(array[index])
        numbers = f"numbers that {dtype} can hold" if is_finite else "finite numbers"
        raise ValueError(f"{name}: expected {numbers}, got {array[index]} at index {index}")
    return result
