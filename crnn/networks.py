"""The networks that users build, one class for each family of cells."""

from typing import Any, ClassVar

import numpy as np

from crnn import checks
from crnn.base import RecurrentNetwork


class RNN(RecurrentNetwork):
    """A recurrent network with plain hidden layers (Elman 1990) and a linear output layer.

    For each step t of a sequence, with h_0 given or zero, and f = tanh or relu::

        h_t = f(W_xh x_t + W_hh h_{t-1} + b_h)
        y_t = W_hy h_t + b_y

    A further layer reads the h_t of the one before as its x_t. With `bidirectional` each layer also
    reads the sequence from its end, with weights of its own, and hands on both states of a step
    side by side (Schuster and Paliwal 1997).

    Sequences are arrays (batch, time, features); (time, features) is one sequence and comes back
    as one. Arrays of either float width are converted to the network's dtype; numbers that do not
    fit it, NaN and infinities are refused. Whole numbers of shape (batch, time), or (time,), are
    categories from 0 to input_size - 1, as if they were one-hot vectors (not if input_size is 1).

    Sequences of different lengths stand in one array with `lengths`, in any order; or, in
    `predict`, `loss`, `train_step` and `fit`, in a list of arrays (time_i, features). Past a
    sequence's end outputs are zero and its state stays as it is.

    Parameters
    ----------
    input_size : int
        Features of x_t, or categories.
    hidden_size : int
        Hidden units of each layer and direction.
    output_size : int, optional
        Features of y_t. Without it there is no output layer and y_t = h_t.
    num_layers : int
        Hidden layers, one above the other.
    bidirectional : bool
        Whether each layer reads sequences from their end too.
    dropout : float
        Share of the numbers between layers that each training step leaves out, scaling the others
        up (Srivastava et al. 2014).
    return_sequences : bool
        False: one output per sequence instead of one per step, of its last states; y is (batch,
        outputs) and the outputs of the other steps are not computed.
    trainable_h0 : bool
        Whether the states that sequences start from are a parameter, ``h0``, instead of zero.
    nonlinearity : {"tanh", "relu"}
        f. With relu, which has no bound, initial weights as of Le, Jaitly and Hinton (2015) may
        serve better: ``net.W_hh[...] = np.eye(hidden_size)``.
    dtype : {"float32", "float64"}
        Of all parameters and results.
    seed : int, numpy Generator or None, optional
        Seeds the initial weights and, unless `fit` gets its own, the shuffling.
    init : {"orthogonal", "uniform"}
        "orthogonal": W_hh is a random orthogonal matrix (Saxe, McClelland and Ganguli 2014);
        W_xh and W_hy are uniform within ±sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio 2010).
        "uniform": the three are uniform within ±1/sqrt(hidden_size). Biases are zero.
    implementation : {"native", "python"}, optional
        Compiled kernels or NumPy ones; without it, `crnn.implementation`.

    Attributes
    ----------
    params : mapping
        Parameters by name: W_xh (hidden, inputs), W_hh (hidden, hidden), b_h (hidden,),
        W_hy (outputs, hidden), b_y (outputs,), h0. Those of deeper layers end in _l1, _l2; those
        of backward directions in _reverse. They are views: assigning into one, as in
        ``net.W_hh[...] = values``, changes the network. Each is an attribute too.
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

    _SETTINGS: ClassVar = {"tanh": {}, "relu": {"nonlinearity": "relu"}}

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
        nonlinearity: str = "tanh",
        dtype: Any = "float32",
        seed: Any = None,
        init: str = "orthogonal",
        implementation: str | None = None,
    ) -> None:
        checks.choice("nonlinearity", nonlinearity, ("tanh", "relu"))
        super().__init__(
            nonlinearity,
            input_size,
            hidden_size,
            output_size,
            num_layers=num_layers,
            bidirectional=bidirectional,
            dropout=dropout,
            return_sequences=return_sequences,
            trainable_h0=trainable_h0,
            dtype=dtype,
            seed=seed,
            init=init,
            implementation=implementation,
        )

    @property
    def nonlinearity(self) -> str:
        """What the sum of a hidden unit goes through: "tanh" or "relu"."""
        return self._network.architecture.cell


class GRU(RecurrentNetwork):
    """A recurrent network of gated recurrent units (Cho et al. 2014) and a linear output layer.

    For each step t of a sequence, with h_0 given or zero::

        r_t = sigmoid(W_xr x_t + W_hr h_{t-1} + b_r)                    reset gate
        z_t = sigmoid(W_xz x_t + W_hz h_{t-1} + b_z)                    update gate
        n_t = tanh(W_xn x_t + b_n + r_t * (W_hn h_{t-1} + b_hn))        new state
        h_t = (1 - z_t) * n_t + z_t * h_{t-1}
        y_t = W_hy h_t + b_y

    With ``reset_after=False`` n_t = tanh(W_xn x_t + W_hn (r_t * h_{t-1}) + b_n), as Cho et al. have
    it; the form above is that of PyTorch and cuDNN, and needs one product a step. (Cho et al. call
    1 - z_t what is z_t here.)

    Parameters of the gates stand one block of `hidden_size` rows after another, in the order r, z,
    n: W_xh (3 * hidden, inputs), W_hh (3 * hidden, hidden), and b_h (4 * hidden,), whose last block
    is b_hn; with ``reset_after=False`` b_h is (3 * hidden,).

    All else, arguments and methods, is as in `RNN`.

    Parameters
    ----------
    input_size, hidden_size : int
    output_size : int, optional
    num_layers : int
    bidirectional : bool
    dropout : float
    return_sequences, trainable_h0 : bool
        As of `RNN`.
    reset_after : bool
        Whether the reset gate acts after the product with W_hn, or before it.
    dtype : {"float32", "float64"}
    seed : int, numpy Generator or None, optional
        As of `RNN`.
    init : {"orthogonal", "uniform"}
        As of `RNN`, each gate by itself.
    implementation : {"native", "python"}, optional
        As of `RNN`.

    Raises
    ------
    ValueError, TypeError, ImportError
        As of `RNN`.

    Examples
    --------
    >>> import crnn
    >>> net = crnn.GRU(input_size=2, hidden_size=8, output_size=1, seed=0)
    >>> net.W_hh.shape
    (24, 8)
    """

    _SETTINGS: ClassVar = {"gru": {}, "gru_reset_before": {"reset_after": False}}

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
        reset_after: bool = True,
        dtype: Any = "float32",
        seed: Any = None,
        init: str = "orthogonal",
        implementation: str | None = None,
    ) -> None:
        cell = "gru" if checks.boolean("reset_after", reset_after) else "gru_reset_before"
        super().__init__(
            cell,
            input_size,
            hidden_size,
            output_size,
            num_layers=num_layers,
            bidirectional=bidirectional,
            dropout=dropout,
            return_sequences=return_sequences,
            trainable_h0=trainable_h0,
            dtype=dtype,
            seed=seed,
            init=init,
            implementation=implementation,
        )

    @property
    def reset_after(self) -> bool:
        """Whether the reset gate acts after the product with W_hn, or before it."""
        return self._network.architecture.cell == "gru"


class LSTM(RecurrentNetwork):
    """A recurrent network of LSTM cells (Hochreiter and Schmidhuber 1997), linear output layer.

    For each step t of a sequence, with h_0 and c_0 given or zero::

        i_t = sigmoid(W_xi x_t + W_hi h_{t-1} + b_i)        input gate
        f_t = sigmoid(W_xf x_t + W_hf h_{t-1} + b_f)        forget gate (Gers et al. 2000)
        g_t = tanh(W_xg x_t + W_hg h_{t-1} + b_g)           new memory
        o_t = sigmoid(W_xo x_t + W_ho h_{t-1} + b_o)        output gate
        c_t = f_t * c_{t-1} + i_t * g_t
        h_t = o_t * tanh(c_t)
        y_t = W_hy h_t + b_y

    Parameters of the gates stand one block of `hidden_size` rows after another, in the order i, f,
    g, o, which is PyTorch's: W_xh (4 * hidden, inputs), W_hh (4 * hidden, hidden), b_h
    (4 * hidden,).

    The state is the pair (h, c), wherever one is given or returned; of a trainable one the
    parameters are h0 and c0. All else, arguments and methods, is as in `RNN`.

    Parameters
    ----------
    input_size, hidden_size : int
    output_size : int, optional
    num_layers : int
    bidirectional : bool
    dropout : float
    return_sequences, trainable_h0 : bool
        As of `RNN`.
    forget_bias : float
        What b_f is at first. With 1, memory lasts from the start (Jozefowicz, Zaremba and Sutskever
        2015).
    dtype : {"float32", "float64"}
    seed : int, numpy Generator or None, optional
        As of `RNN`.
    init : {"orthogonal", "uniform"}
        As of `RNN`, each gate by itself.
    implementation : {"native", "python"}, optional
        As of `RNN`.

    Raises
    ------
    ValueError, TypeError, ImportError
        As of `RNN`.

    Examples
    --------
    >>> import crnn
    >>> net = crnn.LSTM(input_size=2, hidden_size=8, output_size=1, seed=0)
    >>> y, (h_n, c_n) = net.predict([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]], return_state=True)
    >>> y.shape, h_n.shape, c_n.shape
    ((3, 1), (8,), (8,))
    """

    _SETTINGS: ClassVar = {"lstm": {}}

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
        forget_bias: float = 1.0,
        dtype: Any = "float32",
        seed: Any = None,
        init: str = "orthogonal",
        implementation: str | None = None,
    ) -> None:
        forget_bias = checks.number("forget_bias", forget_bias)
        super().__init__(
            "lstm",
            input_size,
            hidden_size,
            output_size,
            num_layers=num_layers,
            bidirectional=bidirectional,
            dropout=dropout,
            return_sequences=return_sequences,
            trainable_h0=trainable_h0,
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


FAMILIES: dict[str, type[RNN] | type[GRU] | type[LSTM]] = {"rnn": RNN, "gru": GRU, "lstm": LSTM}


def of_cell(cell: str, *sizes: int | None, **settings: Any) -> RNN | GRU | LSTM:
    """Return a new network of a cell in `cells.CELLS`.

    Parameters
    ----------
    cell : str
    *sizes, **settings
        Of the network, but for what chooses its cell.
    """
    family: Any = next(family for family in FAMILIES.values() if cell in family._SETTINGS)
    net: RNN | GRU | LSTM = family(*sizes, **settings, **family._SETTINGS[cell])
    return net


def find(name: str) -> type[RNN] | type[GRU] | type[LSTM]:
    """Return the class that a `cell` argument names: "rnn", "gru" or "lstm".

    Raises
    ------
    ValueError
        There is none of that name.
    """
    return FAMILIES[checks.choice("cell", name, tuple(FAMILIES))]
