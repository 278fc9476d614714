"""The networks that users build: RNN, GRU and LSTM."""

from typing import Any, ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt

from crnn import checks
from crnn._network.architecture import Architecture
from crnn._typing import Array
from crnn.base import RecurrentNetwork, Seed
from crnn.conversion import as_numbers
from crnn.kernels import contracts
from crnn.kernels.cells import CELLS, leaky_name


class RNN(RecurrentNetwork[Array]):
    """A recurrent network with plain hidden layers (Elman 1990) and a linear output layer.

    For each step t of a sequence, with h_0 given or zero, and f = tanh or relu::

        h_t = f(W_xh x_t + W_hh h_{t-1} + b_h)
        y_t = W_hy h_t + b_y

    With a `leak` a the states are leaky integrators, tau dh/dt = -h + f(W_xh x + W_hh h + b_h), by
    Euler steps of length dt with a = dt / tau (Song, Yang and Wang 2016; Jaeger et al. 2007)::

        h_t = (1 - a) h_{t-1} + a f(W_xh x_t + W_hh h_{t-1} + b_h)

    With `noise` s each training step adds to every pre-activation, inside f, a normal number of
    standard deviation s.

    A deeper layer reads the h_t of the one below as its x_t. With `bidirectional` each layer also
    reads the sequence from its end, with weights of its own, and passes on both states of a step
    side by side (Schuster and Paliwal 1997).

    Sequences are arrays (batch, time, features); (time, features) is one sequence and comes back
    as one. Integers, bools and floats of either width are converted to the network's dtype;
    numbers that do not fit it, NaN and infinities are refused. With `categorical` inputs are whole
    numbers (batch, time), or (time,) for one sequence.

    Sequences of different lengths are passed in one array with `lengths`, in any order; or, to
    `predict`, `loss`, `train_step` and `fit`, in a list of arrays (time_i, features). Past a
    sequence's end outputs are zero and its state stays as it is.

    Parameters
    ----------
    input_size : int
        Features of x_t, or with `categorical` the number of categories.
    hidden_size : int
        Hidden units of each layer and direction.
    output_size : int, optional
        Features of y_t. Without it there is no output layer and y_t = h_t.
    num_layers : int
        Hidden layers, one above the other.
    bidirectional : bool
        Whether each layer reads sequences from their end too.
    dropout : float
        Share of the numbers between layers that each training step sets to zero; the others are
        scaled up (Srivastava et al. 2014).
    return_sequences : bool
        False: one output per sequence, computed from its last states, instead of one per step; y
        is (batch, outputs).
    trainable_h0 : bool
        Whether the states that sequences start from are a parameter, ``h0``, instead of zero.
    categorical : bool
        Whether inputs are category numbers from 0 to input_size - 1. They are read as one-hot
        vectors: W_xh times one of those is a column of W_xh.
    nonlinearity : {"tanh", "relu"}
        f. With relu, which is unbounded, the initial weights of Le, Jaitly and Hinton (2015) may
        work better: ``net.W_hh[...] = np.eye(hidden_size)``.
    leak : float or array (hidden_size,), optional
        a, above 0 and at most 1: one number for all units, or one a unit. None: no leak, which
        computes the same as 1.
    trainable_leak : bool
        Whether the leak is trained; steps keep it from 0 to 1. A fixed one has a gradient of zero
        and stays as it is, with weight decay too.
    noise : float
        s, the standard deviation of the noise in `fit` and `train_step`; other methods have none.
        Drawn anew for each step, unit and layer; backpropagation takes it as constant.
    dtype : {"float32", "float64"}
        The dtype of all parameters and results.
    seed : int, numpy Generator or None, optional
        Seeds the initial weights and, unless `fit` gets its own, the shuffling, dropout and noise.
    init : {"orthogonal", "uniform"}
        "orthogonal": W_hh is a random orthogonal matrix (Saxe, McClelland and Ganguli 2014);
        W_xh and W_hy are uniform within ±sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio 2010).
        "uniform": the three are uniform within ±1/sqrt(hidden_size). Biases are zero.
    implementation : {"native", "python"}, optional
        Compiled kernels or NumPy ones; without it, `crnn.implementation`.

    Attributes
    ----------
    params : mapping
        Parameters by name: W_xh (hidden, inputs), W_hh (hidden, hidden), b_h (hidden,), leak (1,)
        or (hidden,), W_hy (outputs, hidden), b_y (outputs,), h0. Those of deeper layers end in
        _l1, _l2; those of backward directions in _reverse. They are views: assigning into one, as
        in ``net.W_hh[...] = values``, changes the network. Each is an attribute too.
    flat_params : array (n,)
        The vector that all of them are views of, in that order.

    Raises
    ------
    ValueError, TypeError
        An argument is out of its range or of the wrong kind.
    ImportError
        ``implementation="native"`` where the compiled kernels are absent.

    Examples
    --------
    >>> import crnn
    >>> net = crnn.RNN(input_size=2, hidden_size=8, output_size=1, seed=0)
    >>> net.predict([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]]).shape
    (3, 1)
    """

    _CELL_ARGUMENTS: ClassVar = {
        "tanh": {},
        "relu": {"nonlinearity": "relu"},
        **{
            name: ({"nonlinearity": "relu"} if row.kind == "leaky_relu" else {})
            | ({"trainable_leak": True} if row.trains_leak else {})
            for name, row in CELLS.items()
            if row.has_leak
        },
    }

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int | None = None,
        *,
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        return_sequences: bool = True,
        trainable_h0: bool = False,
        categorical: bool = False,
        nonlinearity: str = "tanh",
        leak: npt.ArrayLike | None = None,
        trainable_leak: bool = False,
        noise: float = 0.0,
        dtype: npt.DTypeLike = "float32",
        seed: Seed = None,
        init: str = "orthogonal",
        implementation: str | None = None,
    ) -> None:
        cell = checks.choice("nonlinearity", nonlinearity, ("tanh", "relu"))
        trainable_leak = checks.boolean("trainable_leak", trainable_leak)
        if leak is not None:
            hidden_size = checks.integer("hidden_size", hidden_size, at_least=1)
            leak = _checked_leak(leak, hidden_size, dtype)
            cell = leaky_name(f"leaky_{cell}", each=bool(leak.ndim), trained=trainable_leak)
        elif trainable_leak:
            raise ValueError("trainable_leak: expected False without a leak, got True")
        super().__init__(
            Architecture(
                input_size,
                hidden_size,
                output_size,
                num_layers,
                bidirectional,
                dropout,
                return_sequences,
                trainable_h0,
                cell,
                categorical,
                noise,
            ),
            dtype=dtype,
            seed=seed,
            init=init,
            implementation=implementation,
        )
        if leak is not None:
            for name, view in self.params.items():
                if name.startswith("leak"):
                    view[...] = leak

    @property
    def nonlinearity(self) -> str:
        """What is applied to the pre-activation of a hidden unit: "tanh" or "relu"."""
        return self.architecture.cell_row.kind.removeprefix("leaky_")

    @property
    def trainable_leak(self) -> bool:
        """Whether there is a leak that is trained."""
        return self.architecture.trains_leak

    @property
    def noise(self) -> float:
        """The standard deviation of the noise on pre-activations in training."""
        return self.architecture.noise

    def _cell_arguments(self) -> dict[str, Any]:
        arguments = super()._cell_arguments()
        if not self.architecture.has_leak:
            return arguments
        values = [float(f"{value:.4g}") for value in self.params["leak"].tolist()]
        return {"leak": values if len(values) == self.hidden_size > 1 else values[0]} | arguments


class GRU(RecurrentNetwork[Array]):
    """A recurrent network of gated recurrent units (Cho et al. 2014) and a linear output layer.

    For each step t of a sequence, with h_0 given or zero::

        r_t = sigmoid(W_xr x_t + W_hr h_{t-1} + b_r)                    reset gate
        z_t = sigmoid(W_xz x_t + W_hz h_{t-1} + b_z)                    update gate
        n_t = tanh(W_xn x_t + b_n + r_t * (W_hn h_{t-1} + b_hn))        new state
        h_t = (1 - z_t) * n_t + z_t * h_{t-1}
        y_t = W_hy h_t + b_y

    With ``reset_after=False`` n_t = tanh(W_xn x_t + W_hn (r_t * h_{t-1}) + b_n), as in Cho et al.;
    the form above is that of PyTorch and cuDNN, and needs one product a step. (The z_t of Cho et
    al. is 1 - z_t here.)

    Parameters of the gates are blocks of `hidden_size` rows in the order r, z, n: W_xh (3 * hidden,
    inputs), W_hh (3 * hidden, hidden), and b_h (4 * hidden,), whose last block is b_hn; with
    ``reset_after=False`` b_h is (3 * hidden,).

    Other arguments and all methods are as in `RNN`.

    Parameters
    ----------
    input_size, hidden_size : int
    output_size : int, optional
    num_layers : int
    bidirectional : bool
    dropout : float
    return_sequences, trainable_h0, categorical : bool
        As in `RNN`.
    reset_after : bool
        Whether the reset gate acts after the product with W_hn, or before it.
    dtype : {"float32", "float64"}
    seed : int, numpy Generator or None, optional
        As in `RNN`.
    init : {"orthogonal", "uniform"}
        As in `RNN`, each gate by itself.
    implementation : {"native", "python"}, optional
        As in `RNN`.

    Raises
    ------
    ValueError, TypeError, ImportError
        As in `RNN`.

    Examples
    --------
    >>> import crnn
    >>> net = crnn.GRU(input_size=2, hidden_size=8, output_size=1, seed=0)
    >>> net.W_hh.shape
    (24, 8)
    """

    _CELL_ARGUMENTS: ClassVar = {"gru": {}, "gru_reset_before": {"reset_after": False}}

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int | None = None,
        *,
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        return_sequences: bool = True,
        trainable_h0: bool = False,
        categorical: bool = False,
        reset_after: bool = True,
        dtype: npt.DTypeLike = "float32",
        seed: Seed = None,
        init: str = "orthogonal",
        implementation: str | None = None,
    ) -> None:
        cell = "gru" if checks.boolean("reset_after", reset_after) else "gru_reset_before"
        super().__init__(
            Architecture(
                input_size,
                hidden_size,
                output_size,
                num_layers,
                bidirectional,
                dropout,
                return_sequences,
                trainable_h0,
                cell,
                categorical,
            ),
            dtype=dtype,
            seed=seed,
            init=init,
            implementation=implementation,
        )

    @property
    def reset_after(self) -> bool:
        """Whether the reset gate acts after the product with W_hn, or before it."""
        return self.architecture.cell == "gru"


class LSTM(RecurrentNetwork[tuple[Array, Array]]):
    """A recurrent network of LSTM cells (Hochreiter and Schmidhuber 1997), linear output layer.

    For each step t of a sequence, with h_0 and c_0 given or zero::

        i_t = sigmoid(W_xi x_t + W_hi h_{t-1} + b_i)        input gate
        f_t = sigmoid(W_xf x_t + W_hf h_{t-1} + b_f)        forget gate (Gers et al. 2000)
        g_t = tanh(W_xg x_t + W_hg h_{t-1} + b_g)           new memory
        o_t = sigmoid(W_xo x_t + W_ho h_{t-1} + b_o)        output gate
        c_t = f_t * c_{t-1} + i_t * g_t
        h_t = o_t * tanh(c_t)
        y_t = W_hy h_t + b_y

    Parameters of the gates are blocks of `hidden_size` rows in the order i, f, g, o, as in PyTorch:
    W_xh (4 * hidden, inputs), W_hh (4 * hidden, hidden), b_h (4 * hidden,).

    The state is the pair (h, c), wherever a state is passed or returned; with `trainable_h0` the
    parameters are h0 and c0. Other arguments and all methods are as in `RNN`.

    Parameters
    ----------
    input_size, hidden_size : int
    output_size : int, optional
    num_layers : int
    bidirectional : bool
    dropout : float
    return_sequences, trainable_h0, categorical : bool
        As in `RNN`.
    forget_bias : float
        The first value of b_f. With 1 a new network remembers (Jozefowicz, Zaremba and Sutskever
        2015).
    dtype : {"float32", "float64"}
    seed : int, numpy Generator or None, optional
        As in `RNN`.
    init : {"orthogonal", "uniform"}
        As in `RNN`, each gate by itself.
    implementation : {"native", "python"}, optional
        As in `RNN`.

    Raises
    ------
    ValueError, TypeError, ImportError
        As in `RNN`.

    Examples
    --------
    >>> import crnn
    >>> net = crnn.LSTM(input_size=2, hidden_size=8, output_size=1, seed=0)
    >>> y, (h_n, c_n) = net.predict([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]], return_state=True)
    >>> y.shape, h_n.shape, c_n.shape
    ((3, 1), (8,), (8,))
    """

    _CELL_ARGUMENTS: ClassVar = {"lstm": {}}

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int | None = None,
        *,
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        return_sequences: bool = True,
        trainable_h0: bool = False,
        categorical: bool = False,
        forget_bias: float = 1.0,
        dtype: npt.DTypeLike = "float32",
        seed: Seed = None,
        init: str = "orthogonal",
        implementation: str | None = None,
    ) -> None:
        forget_bias = checks.number("forget_bias", forget_bias)
        super().__init__(
            Architecture(
                input_size,
                hidden_size,
                output_size,
                num_layers,
                bidirectional,
                dropout,
                return_sequences,
                trainable_h0,
                "lstm",
                categorical,
            ),
            dtype=dtype,
            seed=seed,
            init=init,
            implementation=implementation,
        )
        if abs(forget_bias) > float(np.finfo(self.dtype).max):
            raise ValueError(
                f"forget_bias: expected a number that {self.dtype} can hold, got {forget_bias!r}"
            )
        for name, view in self.params.items():
            if name.startswith("b_h"):
                view[self.hidden_size : 2 * self.hidden_size] = forget_bias


def _checked_leak(leak: npt.ArrayLike, hidden_size: int, dtype: npt.DTypeLike) -> Array:
    """Return a leak as an array () or (hidden_size,) of the network's dtype."""
    given = as_numbers("leak", leak)
    if given.dtype == np.bool_:
        raise TypeError(f"leak: expected a number or an array of numbers, got {leak!r}")
    values: Array = given.astype(contracts.float_dtype(dtype))
    if values.shape not in ((), (hidden_size,)):
        raise ValueError(
            f"leak: expected a number or shape (hidden={hidden_size},), got shape {values.shape}"
        )
    # Of the given numbers too: one that is next to 1 may be rounded to it, from above.
    wrong = given[~((values > 0) & (given <= 1))]
    if wrong.size:
        raise ValueError(
            f"leak: expected numbers of {values.dtype} above 0 and at most 1, got {wrong.flat[0]}"
        )
    return values


Family: TypeAlias = type[RNN] | type[GRU] | type[LSTM]

FAMILIES: dict[str, Family] = {"rnn": RNN, "gru": GRU, "lstm": LSTM}
"""The classes by the names that `cell` arguments take."""


def get_family(name: str) -> Family:
    """Return the class of a `cell` argument.

    Parameters
    ----------
    name : {"rnn", "gru", "lstm"}

    Returns
    -------
    RNN, GRU or LSTM
        The class itself.

    Raises
    ------
    ValueError
        There is none of that name.
    """
    return FAMILIES[checks.choice("cell", name, tuple(FAMILIES))]


def from_architecture(
    architecture: Architecture,
    *,
    dtype: npt.DTypeLike = "float32",
    seed: Seed = None,
    init: str = "orthogonal",
    implementation: str | None = None,
) -> RNN | GRU | LSTM:
    """Return a new network of an architecture, such as that of another network.

    The leaks of a leaky cell start at 1.

    Parameters
    ----------
    architecture : Architecture
    dtype : {"float32", "float64"}
    seed : int, numpy Generator or None, optional
    init : {"orthogonal", "uniform"}
    implementation : {"native", "python"}, optional
        All as in `RNN`.

    Returns
    -------
    RNN, GRU or LSTM

    Raises
    ------
    ValueError, TypeError
        A value is out of its range or of the wrong kind.

    Examples
    --------
    >>> import crnn
    >>> net = crnn.GRU(input_size=2, hidden_size=8, output_size=1, seed=0)
    >>> crnn.from_architecture(net.architecture._replace(hidden_size=16))
    GRU(input_size=2, hidden_size=16, output_size=1, dtype='float32', implementation='native')
    """
    for family in FAMILIES.values():
        if architecture.cell in family._CELL_ARGUMENTS:
            break
    else:
        known = [cell for family in FAMILIES.values() for cell in family._CELL_ARGUMENTS]
        raise ValueError(f"cell: expected one of {', '.join(known)}, got {architecture.cell!r}")
    arguments: dict[str, Any] = architecture.describe() | family._CELL_ARGUMENTS[architecture.cell]
    del arguments["cell"]
    if architecture.has_leak:
        units = architecture.hidden_size if architecture.cell_row.leak_blocks else ()
        arguments["leak"] = np.ones(units)
    if family is not RNN:
        del arguments["noise"]
        if architecture.noise:
            raise ValueError(
                f"noise: expected 0 with cell {architecture.cell!r}, got {architecture.noise!r}"
            )
    return family(**arguments, dtype=dtype, seed=seed, init=init, implementation=implementation)
