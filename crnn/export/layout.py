"""The arrays of the header: the weights, rounded, and in the order that steps read.

Units are innermost. For each panel of `units` units and each input there are the weights of its
sums side by side, so that a vector of sums takes one load for each input.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from crnn import checks
from crnn.dense import Dense
from crnn.last_step import LastStep
from crnn.networks import GRU, LSTM, RNN
from crnn.sequential import Sequential

__all__ = ["CELLS", "Cell", "ChainLayout", "DenseLayout", "Layer", "Layout", "Weights", "layout_of"]

Array = npt.NDArray[Any]


class Cell(NamedTuple):
    """Which blocks of a cell's parameters are its sums, and in which order."""

    of_x: tuple[int, ...]
    """Blocks of W_xh."""
    of_h: tuple[int, ...]
    """Blocks of W_hh."""
    biases: tuple[int, ...]
    """Blocks of b_h. Sums over x begin with the first of them, those over h end with the last."""
    vectors: int
    """Vectors of all units on the stack in a step."""
    of_q: tuple[int, ...] = ()
    """Blocks of W_hh that are multiplied by q instead of h."""


# Blocks are those of the parameters: r, z, n and b_hn; i, f, g, o.
CELLS = {
    "tanh": Cell((0,), (0,), (0,), 1),
    "relu": Cell((0,), (0,), (0,), 1),
    "gru": Cell((2, 0, 1), (0, 1, 2), (2, 0, 1, 3), 1),
    "gru_reset_before": Cell((2, 0, 1), (0, 1), (2, 0, 1), 3, of_q=(2,)),
    "lstm": Cell((0, 1, 2, 3), (0, 1, 2, 3), (0, 1, 2, 3), 1),
}

# So many bytes of sums at a time stay in registers: 8 of AVX2, and 16 of SSE2 or NEON.
PANEL_BYTES = 256


def _even_share(total: int, best: int) -> int:
    """Return the size of equal parts, of which the last may be smaller; near to the best size."""
    count = max(1, (total + best // 2) // best)
    return -(-total // count)


class Weights(NamedTuple):
    """A matrix as it is kept: rows are sums, columns are what is multiplied."""

    stored: Array
    """(rows, columns), in the type of the header's array."""
    scales: Array | None
    """(rows,), what the sums over rows of int8 are multiplied by."""
    values: Array
    """`stored` in the network's dtype."""

    def rows(self, start: int, stop: int) -> "Weights":
        """Return some rows."""
        part = slice(start, stop)
        scales = None if self.scales is None else self.scales[part]
        return Weights(self.stored[part], scales, self.values[part])


class Layer(NamedTuple):
    """A layer's parameters, block by block in the order of the cell's sums."""

    W_x: list[Weights]
    W_h: list[Weights]
    b: list[Array]
    W_q: list[Weights]

    @property
    def h_start(self) -> int:
        """The first sum that h adds to."""
        return len(self.b) - len(self.W_h)


class _Constants(ABC):
    """What the layouts of all parts have: the types of the numbers, and their size.

    Attributes
    ----------
    inputs, outputs : int
        Inputs are features or, where `categorical`, categories.
    categorical : bool
    activations : set of str
        The functions that steps call.
    width : int
        The most sums that are added up side by side.
    description : str
    """

    inputs: int
    outputs: int
    categorical: bool
    activations: set[str]
    width: int
    description: str

    def __init__(self, dtype: np.dtype[Any], weights: str | None) -> None:
        self.dtype, self.kind = dtype, weights

    @property
    def stored_type(self) -> str:
        """The type of weights in C."""
        return {None: self.c_type, "bfloat16": "unsigned short", "int8": "signed char"}[self.kind]

    @property
    def c_type(self) -> str:
        """The type of all other numbers in C."""
        return "float" if self.dtype.itemsize == 4 else "double"

    @abstractmethod
    def arrays(self) -> Iterator[tuple[str, str, Array]]:
        """Yield type, name and numbers of each constant array, in the order of the header."""

    @property
    def flash(self) -> int:
        """Bytes of all constants."""
        return sum(numbers.nbytes for _, _, numbers in self.arrays())

    def _output_arrays(
        self, W: Weights, b: Array, units: int, names: tuple[str, str]
    ) -> Iterator[tuple[str, str, Array]]:
        """Yield the arrays of a product, in panels of so many outputs."""
        parts = [W.stored[start : start + units].T.ravel() for start in range(0, len(b), units)]
        yield self.stored_type, names[0], np.concatenate(parts)
        if W.scales is not None:
            yield self.c_type, f"{names[0]}_scales", W.scales
        yield self.c_type, names[1], b

    def _weights(self, name: str, matrix: Array) -> Weights:
        """Return a matrix as it is kept."""
        if self.kind is None:
            stored = matrix.copy()
            return Weights(stored, None, stored)
        if self.kind == "int8":
            largest = np.abs(matrix).max(axis=1, initial=0)
            scales = (largest / 127).astype(self.dtype)
            divisors = np.where(scales > 0, scales, 1).astype(self.dtype)
            stored = np.clip(np.rint(matrix / divisors[:, None]), -127, 127).astype(np.int8)
            return Weights(stored, scales, stored.astype(self.dtype))
        with np.errstate(over="ignore"):
            bits = np.ascontiguousarray(matrix, np.float32).view(np.uint32)
        # To the nearest, and to the even one of two; beyond the largest it becomes infinity.
        stored = ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)
        values = (stored.astype(np.uint32) << 16).view(np.float32).astype(self.dtype)
        if not np.isfinite(values).all():
            raise ValueError(
                f"weights: expected numbers that bfloat16 can hold, got {np.abs(matrix).max():g} "
                f"in {name}"
            )
        return Weights(stored, None, values)


class Layout(_Constants):
    """The constants of a network.

    Parameters
    ----------
    net : RNN, GRU or LSTM
    weights : str or None
        "bfloat16", "int8", or None for the network's dtype.

    Raises
    ------
    ValueError
        The network cannot be exported.
    """

    def __init__(self, net: RNN | GRU | LSTM, weights: str | None) -> None:
        super().__init__(net.dtype, weights)
        architecture = net.architecture
        if net.bidirectional:
            raise ValueError(
                "net: expected a network that reads sequences in one direction, got "
                "bidirectional=True, for which a step needs the end of the sequence"
            )
        checks.no_leak(architecture, "a C header")
        for name, values in net.params.items():
            if not np.isfinite(values).all():
                raise ValueError(f"net: expected finite parameters, got NaN or infinity in {name}")
        self.architecture, self.description = architecture, repr(net)
        self.inputs, self.outputs = net.input_size, architecture.outputs
        self.categorical = net.categorical
        self.activations = {"relu"} if architecture.cell == "relu" else {"sigmoid", "tanh"}
        self.cell = CELLS[architecture.cell]
        self.states = ("h", "c")[: architecture.cell_row.state_blocks]
        panel = PANEL_BYTES // self.dtype.itemsize
        self.units = _even_share(net.hidden_size, panel // len(self.cell.biases))
        self.layers = [self._layer(net, layer) for layer in range(net.num_layers)]
        self.W_hy = self.b_y = None
        self.output_units = 0
        if net.output_size is not None:
            self.W_hy = self._weights("W_hy", net.params["W_hy"])
            self.b_y = net.params["b_y"].copy()
            self.output_units = _even_share(net.output_size, panel)
        self.width = max(len(self.cell.biases) * self.units, self.output_units)
        self.first_states = {}
        if net.trainable_h0:
            shape = (net.num_layers, net.hidden_size)
            self.first_states = {
                name: net.params[f"{name}0"].reshape(shape).copy() for name in self.states
            }

    def _layer(self, net: RNN | GRU | LSTM, layer: int) -> Layer:
        suffix, H, cell = self.architecture.suffix(layer), net.hidden_size, self.cell

        def blocks(name: str, numbers: tuple[int, ...]) -> list[Weights]:
            matrix = self._weights(name + suffix, net.params[name + suffix])
            return [matrix.rows(number * H, (number + 1) * H) for number in numbers]

        b_h = net.params[f"b_h{suffix}"]
        return Layer(
            blocks("W_xh", cell.of_x),
            blocks("W_hh", cell.of_h),
            [b_h[number * H : (number + 1) * H].copy() for number in cell.biases],
            blocks("W_hh", cell.of_q),
        )

    def arrays(self) -> Iterator[tuple[str, str, Array]]:
        """Yield type, name and numbers of each constant array, in the order of the header."""
        for number, layer in enumerate(self.layers):
            yield self.stored_type, f"net_W_{number}", self._panels(layer)
            if self.kind == "int8":
                yield self.c_type, f"net_scales_{number}", self._scales(layer)
            yield self.c_type, f"net_b_{number}", self._by_panel(layer.b)
        if self.W_hy is not None and self.b_y is not None:
            names = ("net_W_hy", "net_b_y")
            yield from self._output_arrays(self.W_hy, self.b_y, self.output_units, names)
        for name, values in self.first_states.items():
            yield self.c_type, f"net_{name}0", values

    def _starts(self) -> range:
        return range(0, self.architecture.hidden_size, self.units)

    def _by_panel(self, blocks: list[Array]) -> Array:
        """Return vectors of H numbers, the parts of each panel side by side."""
        parts = [block[u : u + self.units] for u in self._starts() for block in blocks]
        return np.concatenate(parts)

    def _panels(self, layer: Layer) -> Array:
        """Return the weights of a layer: of each panel those of x, then of h; those of q last."""
        parts = []
        for start in self._starts():
            for blocks in (layer.W_x, layer.W_h):
                parts += self._columns(blocks, start)
        for start in self._starts() if layer.W_q else ():
            parts += self._columns(layer.W_q, start)
        return np.concatenate(parts)

    def _columns(self, blocks: list[Weights], start: int) -> list[Array]:
        part = slice(start, start + self.units)
        return [np.concatenate([block.stored[part] for block in blocks]).T.ravel()]

    def _scales(self, layer: Layer) -> Array:
        """Return the scales in the order of `_panels`."""

        def scales(blocks: list[Weights]) -> list[Array]:
            return [block.scales for block in blocks if block.scales is not None]

        parts = [self._by_panel(scales(layer.W_x + layer.W_h))]
        if layer.W_q:
            parts.append(self._by_panel(scales(layer.W_q)))
        return np.concatenate(parts)

    @property
    def ram(self) -> int:
        """Bytes of a state."""
        architecture = self.architecture
        numbers = architecture.num_layers * architecture.state_size
        return numbers * self.dtype.itemsize

    @property
    def own_stack(self) -> int:
        """Bytes of the arrays of a step, without those of sums side by side."""
        sums = self.units * len(self.cell.biases)
        vectors = self.cell.vectors * self.architecture.hidden_size
        return (vectors + sums) * self.dtype.itemsize

    @property
    def stack(self) -> int:
        """Bytes of the arrays of a step."""
        return self.own_stack + self.width * self.dtype.itemsize


class DenseLayout(_Constants):
    """The constants of a dense layer.

    Parameters
    ----------
    layer : Dense
    weights : str or None
        As of `Layout`.
    """

    def __init__(self, layer: Dense, weights: str | None) -> None:
        super().__init__(layer.dtype, weights)
        self.description = repr(layer)
        self.inputs, self.outputs, self.categorical = layer.input_size, layer.output_size, False
        self.activation = layer.activation
        self.activations = {layer.activation} if layer.activation else set()
        self.W, self.b = self._weights("weight", layer.weight), layer.bias
        self.output_units = _even_share(layer.output_size, PANEL_BYTES // self.dtype.itemsize)
        self.width = self.output_units

    def arrays(self) -> Iterator[tuple[str, str, Array]]:
        """Yield type, name and numbers of each constant array, in the order of the header."""
        return self._output_arrays(self.W, self.b, self.output_units, ("net_W_y", "net_b_y"))


class ChainLayout(_Constants):
    """The constants of a chain.

    Parameters
    ----------
    net : Sequential
    weights : str or None
        As of `Layout`.

    Raises
    ------
    ValueError
        A part cannot be exported.
    """

    def __init__(self, net: Sequential, weights: str | None) -> None:
        super().__init__(net.dtype, weights)
        self.parts: list[Layout | DenseLayout] = []
        for number, part in enumerate(net.parts):
            if isinstance(part, LastStep):
                # A step of the header has outputs, whichever it is.
                continue
            try:
                self.parts.append(
                    DenseLayout(part, weights) if isinstance(part, Dense) else Layout(part, weights)
                )
            except ValueError as error:
                raise ValueError(f"parts[{number}]: {error}") from None
        self.description = f"Sequential of {len(self.parts)} parts"
        self.inputs, self.outputs = net.input_size, net.output_size
        self.categorical = net.categorical
        self.activations = set[str]().union(*(part.activations for part in self.parts))
        self.width = max(part.width for part in self.parts)

    def arrays(self) -> Iterator[tuple[str, str, Array]]:
        """Yield type, name and numbers of each constant array of each part."""
        for part in self.parts:
            yield from part.arrays()

    @property
    def networks(self) -> list[Layout]:
        """The layouts of the networks among the parts."""
        return [part for part in self.parts if isinstance(part, Layout)]

    @property
    def ram(self) -> int:
        """Bytes of a state."""
        return sum(part.ram for part in self.networks)

    @property
    def stack(self) -> int:
        """Bytes of the arrays of a step."""
        numbers = self.width + sum(part.outputs for part in self.parts[:-1])
        return numbers * self.dtype.itemsize + max(part.own_stack for part in self.networks)


def layout_of(net: RNN | GRU | LSTM | Sequential, weights: str | None) -> Layout | ChainLayout:
    """Return the layout of a network or a chain.

    Parameters
    ----------
    net : RNN, GRU, LSTM or Sequential
    weights : str or None
        As of `Layout`.

    Returns
    -------
    Layout or ChainLayout

    Raises
    ------
    ValueError
        It cannot be exported.
    """
    return ChainLayout(net, weights) if isinstance(net, Sequential) else Layout(net, weights)
