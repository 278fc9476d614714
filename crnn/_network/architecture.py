"""The sizes and options of a network, from which the shapes of its parameters follow."""

from typing import Any, NamedTuple

from crnn._typing import Array
from crnn.kernels import cells
from crnn.kernels.streams import public_state


class Architecture(NamedTuple):
    """The sizes and options of a network: everything about it but its numbers.

    Parameters
    ----------
    input_size : int
        Features of x_t, or the number of categories.
    hidden_size : int
        Hidden units of each layer and direction.
    output_size : int or None
        Features of y_t; None: the outputs are the states of the last layer.
    num_layers : int
    bidirectional : bool
    dropout : float
        Share of the numbers between two layers that a training step sets to zero.
    return_sequences : bool
        Whether there is an output for each step, or one per sequence.
    trainable_h0 : bool
        Whether the first states are parameters.
    cell : str
        A name in `crnn.kernels.cells.CELLS`: "tanh", "relu", "gru", "gru_reset_before", "lstm"; or
        "leaky_tanh", "leaky_relu", with "_each" where each unit has its own leak, and with
        "_trained" where leaks are trained.
    categorical : bool
        Whether inputs are category numbers (batch, time), read as one-hot vectors.
    noise : float
        The standard deviation of the noise on pre-activations in training.
    """

    input_size: int
    hidden_size: int
    output_size: int | None = None
    num_layers: int = 1
    bidirectional: bool = False
    dropout: float = 0.0
    return_sequences: bool = True
    trainable_h0: bool = False
    cell: str = "tanh"
    categorical: bool = False
    noise: float = 0.0

    @property
    def cell_row(self) -> cells.Cell:
        """The cell's row of the table of cells: its arrays in blocks of H."""
        return cells.CELLS[self.cell]

    @property
    def has_leak(self) -> bool:
        """Whether states leak: a share of each stays at a step."""
        return self.cell_row.has_leak

    @property
    def trains_leak(self) -> bool:
        """Whether there is a leak that is trained."""
        return self.cell_row.trains_leak

    @property
    def directions(self) -> int:
        """How many ways each layer reads a sequence: 1 or 2."""
        return 2 if self.bidirectional else 1

    @property
    def num_states(self) -> int:
        """How many states (batch, state_size) there are: one a layer and direction."""
        return self.num_layers * self.directions

    @property
    def state_size(self) -> int:
        """S, the numbers in a state: H, or 2 H for an LSTM (h, then c)."""
        return self.cell_row.state_blocks * self.hidden_size

    @property
    def features(self) -> int:
        """What one layer hands to the next at each step: the states h of its directions."""
        return self.hidden_size * self.directions

    @property
    def outputs(self) -> int:
        """Features of y_t, whether or not there is an output layer."""
        return self.output_size or self.features

    def is_reverse(self, state: int) -> bool:
        """Return whether a state is that of a backward direction.

        Parameters
        ----------
        state : int
            From 0 to ``num_states - 1``: layer by layer, the forward direction first.

        Returns
        -------
        bool
        """
        return state % self.directions == 1

    def suffix(self, state: int) -> str:
        """Return the ending of the parameter names of one layer and direction.

        Parameters
        ----------
        state : int
            From 0 to ``num_states - 1``: layer by layer, the forward direction first.

        Returns
        -------
        str
            "", "_reverse", "_l1", "_l1_reverse", ...
        """
        layer, direction = divmod(state, self.directions)
        return (f"_l{layer}" if layer else "") + ("_reverse" if direction else "")

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the parameters by name, in the order of the flat vector.

        Returns
        -------
        dict of tuple
        """
        shapes: dict[str, tuple[int, ...]] = {}
        biases = self.cell_row.bias_blocks * self.hidden_size
        for name, shape in self.kernel_shapes().items():
            shapes[name] = shape
            if name.startswith("b_h") and self.has_leak:
                shapes[name] = (biases,)
                shapes[name.replace("b_h", "leak")] = (shape[0] - biases,)
        return shapes

    def kernel_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the parameters as kernels take them, where leaks end b_h.

        Returns
        -------
        dict of tuple
        """
        shapes: dict[str, tuple[int, ...]] = {}
        for state in range(self.num_states):
            inputs = self.input_size if state < self.directions else self.features
            of_state = cells.parameter_shapes(self.cell, inputs, self.hidden_size, 0)
            shapes |= {name + self.suffix(state): shape for name, shape in of_state.items()}
        if self.output_size is not None:
            shapes |= {"W_hy": (self.output_size, self.features), "b_y": (self.output_size,)}
        if self.trainable_h0:
            layers = (self.num_states,) if self.num_states > 1 else ()
            for name in ("h0", "c0")[: self.cell_row.state_blocks]:
                shapes[name] = (*layers, self.hidden_size)
        return shapes

    def parameter_limits(self) -> dict[str, tuple[float, float]]:
        """Return the least and the largest value of parameters that are limited, by name.

        All training keeps these parameters within their limits.

        Returns
        -------
        dict of tuple
        """
        if not self.trains_leak:
            return {}
        return {name: (0.0, 1.0) for name in self.parameter_shapes() if name.startswith("leak")}

    def public_states(self, states: Array, *, single: bool) -> Any:
        """Return states in the form that users see.

        Parameters
        ----------
        states : array (layers * directions, batch, ..., S)
        single : bool
            Whether to leave out the batch axis, of one sequence.

        Returns
        -------
        array (layers * directions, batch, ..., hidden), or for an LSTM a pair of such
            Without the first axis where there is one layer and direction. Read-only if `states` is.
        """
        layers = 0 if self.num_states == 1 else slice(None)
        return public_state(states[layers, 0 if single else slice(None)], self.hidden_size)

    def describe(self) -> dict[str, Any]:
        """Return the sizes and options by name, as files keep them.

        Returns
        -------
        dict
        """
        return self._asdict()
