"""The models that users build: what they pass is checked here, and handed to the network.

h_t = tanh(W_xh x_t + W_hh h_{t-1} + b_h)
y_t = W_hy h_t + b_y
"""

import math
import os
from collections.abc import Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any

import numpy as np

from crnn import _implementation, checks, losses, training
from crnn.checks import Array
from crnn.errors import ModelFileError
from crnn.history import History
from crnn.kernels import contracts
from crnn.network import Network, Tape
from crnn.optimizers import SGD, Optimizer
from crnn.training import Clipping

FILE_FORMAT, FILE_VERSION = "crnn network", 1


class Parameters(Mapping[str, Array]):
    """Named views of one vector: assigning into a view changes the vector.

    Attributes
    ----------
    flat : array (n,)
        The vector.
    """

    def __init__(self, flat: Array, views: dict[str, Array]) -> None:
        self.flat = flat
        self._views = views

    def __getitem__(self, name: str) -> Array:
        return self._views[name]

    def __setitem__(self, name: str, value: Array) -> None:
        # What `params[name] *= 2` assigns when it has changed the view already
        if value is not self._views.get(name):
            raise TypeError(
                f"{name}: expected an assignment into the view, [{name!r}][...] = values"
            )

    def __iter__(self) -> Iterator[str]:
        return iter(self._views)

    def __len__(self) -> int:
        return len(self._views)

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name} {view.shape}" for name, view in self.items())
        return f"{type(self).__name__}({shapes})"


class Gradients(Parameters):
    """dL/d(parameter) by the parameter's name.

    Attributes
    ----------
    flat : array (n,)
        The vector that the named gradients are views of, in the order of `RNN.flat_params`.
    x : array
        dL/dx, of the shape of x.
    h0 : array
        dL/dh_0, of the shape of h0.
    """

    def __init__(self, flat: Array, views: dict[str, Array], x: Array, h0: Array) -> None:
        super().__init__(flat, views)
        self.x = x
        self.h0 = h0


class RNN:
    """A recurrent network with a tanh hidden layer (Elman 1990) and a linear output layer.

    For each step t of a sequence, with h_0 given or zero:

        h_t = tanh(W_xh x_t + W_hh h_{t-1} + b_h)
        y_t = W_hy h_t + b_y

    Sequences are arrays (batch, time, features); (time, features) is one sequence and comes back
    as one. Arrays of either float width are converted to the network's dtype; numbers that do not
    fit it, NaN and infinities are refused.

    Parameters
    ----------
    input_size : int
        Features of x_t.
    hidden_size : int
        Hidden units.
    output_size : int, optional
        Features of y_t. Without it there is no output layer and y_t = h_t.
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
        W_hy (outputs, hidden), b_y (outputs,). They are views: assigning into one, as in
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

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int | None = None,
        *,
        dtype: Any = "float32",
        seed: Any = None,
        init: str = "orthogonal",
        implementation: str | None = None,
    ) -> None:
        I = checks.integer("input_size", input_size, at_least=1)
        H = checks.integer("hidden_size", hidden_size, at_least=1)
        O = None if output_size is None else checks.integer("output_size", output_size, at_least=1)
        float_dtype = contracts.float_dtype(dtype)
        checks.choice("init", init, ("orthogonal", "uniform"))
        kernels = _implementation.kernels
        if implementation is not None:
            checks.choice("implementation", implementation, ("native", "python"))
            kernels = _implementation.load(implementation)
        self._rng = checks.generator(seed)
        self._network = Network(I, H, O, float_dtype, kernels)
        _initialise(self._network.params, init, self._rng)

    @property
    def input_size(self) -> int:
        """Features of x_t."""
        return self._network.input_size

    @property
    def hidden_size(self) -> int:
        """Hidden units."""
        return self._network.hidden_size

    @property
    def output_size(self) -> int | None:
        """Features of y_t, or None where the outputs are the hidden states."""
        return self._network.output_size if self._network.has_output_layer else None

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of all parameters and results."""
        dtype: np.dtype[Any] = self._network.flat.dtype
        return dtype

    @property
    def implementation(self) -> str:
        """Which kernels run: "native" or "python"."""
        return _implementation.name_of(self._kernels)

    @property
    def params(self) -> Parameters:
        """Parameters by name, as views of `flat_params`."""
        return Parameters(self.flat_params, self._network.params)

    @property
    def flat_params(self) -> Array:
        """The vector under all parameters."""
        return self._network.flat

    @flat_params.setter
    def flat_params(self, value: Array) -> None:
        # What `net.flat_params *= 2` assigns when it has changed the vector already
        if value is not self._network.flat:
            raise AttributeError("flat_params: assign into it, net.flat_params[...] = values")

    @property
    def _kernels(self) -> ModuleType:
        return self._network.kernels

    def __getattr__(self, name: str) -> Array:
        # Reached only for names that are no ordinary attributes: the parameters.
        network = self.__dict__.get("_network")
        if network is not None and name in network.params:
            view: Array = network.params[name]
            return view
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        if "_network" in self.__dict__ and name in self._network.params:
            # `net.W_hh *= 2` assigns the view when it has changed it already.
            if value is self._network.params[name]:
                return
            raise AttributeError(
                f"{name} is a view of flat_params: assign into it, net.{name}[...] = values"
            )
        object.__setattr__(self, name, value)

    def __dir__(self) -> Iterable[str]:
        return [*object.__dir__(self), *self._network.params]

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(input_size={self.input_size}, hidden_size={self.hidden_size}, "
            f"output_size={self.output_size}, dtype='{self.dtype}', "
            f"implementation='{self.implementation}')"
        )

    def forward(self, x: Any, h0: Any = None) -> Tape:
        """Run sequences and keep what `backward` needs.

        Parameters
        ----------
        x : array (batch, time, inputs) or (time, inputs)
        h0 : array (batch, hidden), or (hidden,) for one sequence; optional
            The state to start from; zero without it.

        Returns
        -------
        Tape
            With ``y``, ``h`` and ``h_n``.

        Raises
        ------
        ValueError, TypeError
            A shape, dtype or value does not fit.
        """
        sequences, start, single = self._inputs(x, h0)
        # BPTT reads x again: a buffer that its owner fills anew must not change the gradient.
        return self._network.forward(sequences.copy(), start, single=single)

    def backward(self, tape: Tape, dy: Any, dh_n: Any = None) -> Gradients:
        """Backpropagate through time. Nothing of the network changes.

        Parameters
        ----------
        tape : Tape
            Of this network's `forward`.
        dy : array, of the shape of ``tape.y``
            dL/dy.
        dh_n : array, of the shape of ``tape.h_n``; optional
            What reaches the last state beside its output, as from a later part of the sequence.

        Returns
        -------
        Gradients
            By parameter name, with ``flat``, ``x`` and ``h0``.

        Raises
        ------
        ValueError, TypeError
            The tape is another network's, or a shape, dtype or value does not fit.
        """
        if not isinstance(tape, Tape):
            raise TypeError(f"tape: expected a Tape, got {type(tape).__name__}")
        if tape._network is not self._network:
            raise ValueError("tape: expected one of this network's forward, got another network's")
        single = tape.y.ndim == 2
        B, T, _ = tape._x.shape
        O = self._network.output_size
        sizes = {"batch": B, "time": T, "outputs": O, "hidden": self.hidden_size}
        axes = "time outputs" if single else "batch time outputs"
        dy = self._floats("dy", dy, (axes,), sizes).reshape(B, T, O)
        if dh_n is not None:
            axes = "hidden" if single else "batch hidden"
            dh_n = self._floats("dh_n", dh_n, (axes,), sizes).reshape(-1, self.hidden_size)
        flat = np.zeros_like(self.flat_params)
        dx, dh0 = self._network.backward(tape, dy, dh_n, flat)
        views = contracts.views(flat, self._network.shapes)
        return Gradients(flat, views, dx[0] if single else dx, dh0[0] if single else dh0)

    def predict(self, x: Any, h0: Any = None, return_state: bool = False) -> Any:
        """Return the outputs for sequences, without keeping a tape.

        Parameters
        ----------
        x : array (batch, time, inputs) or (time, inputs)
        h0 : array (batch, hidden), or (hidden,) for one sequence; optional
            The state to start from; zero without it.
        return_state : bool
            Whether to return the last state too, from which a later call can go on.

        Returns
        -------
        y : array (batch, time, outputs) or (time, outputs)
        h_n : array (batch, hidden) or (hidden,)
            Only with `return_state`.

        Raises
        ------
        ValueError, TypeError
            A shape, dtype or value does not fit.
        """
        sequences, start, single = self._inputs(x, h0)
        if return_state is False or not checks.boolean("return_state", return_state):
            y = self._network.predict(sequences, start)
            return y[0] if single else y
        h_n = np.empty((len(sequences), self.hidden_size), self.dtype)
        y = self._network.predict(sequences, start, h_n)
        return (y[0], h_n[0]) if single else (y, h_n)

    def stream(self, batch_size: int | None = None) -> Any:
        """Return a stream: the network as it is now, for inputs that come one step at a time.

        Training the network later does not change the stream.

        Parameters
        ----------
        batch_size : int, optional
            How many sequences go side by side. Without it there is one, and arrays have no batch
            axis.

        Returns
        -------
        Stream
            With ``step(x, out=None)``, ``run(x)``, ``state``, ``reset()`` and ``copy()``. Its
            state is zero at first.

        Raises
        ------
        ValueError, TypeError
            The batch size is no whole number of at least 1.

        Examples
        --------
        >>> import crnn
        >>> net = crnn.RNN(input_size=2, hidden_size=8, output_size=1, seed=0)
        >>> stream = net.stream()
        >>> stream.step([0.1, 0.2]).shape
        (1,)
        """
        sizes = {"inputs": self.input_size, "hidden": self.hidden_size}
        if batch_size is not None:
            sizes["batch"] = checks.integer("batch_size", batch_size, at_least=1)
        like, kernels = np.empty(0, self.dtype), self._kernels

        def convert(name: str, value: Any, axes: str) -> Array:
            shape = axes if batch_size is None else f"batch {axes}"
            return checks.floats(name, value, (shape,), sizes, like, kernels)

        return kernels.Stream(
            self.flat_params,
            self.input_size,
            self.hidden_size,
            self.output_size or 0,
            sizes.get("batch"),
            convert,
        )

    def forecast(self, x: Any, steps: int) -> Array:
        """Read sequences, then go on alone: each output is the next input.

        Parameters
        ----------
        x : array (batch, time, inputs) or (time, inputs)
            What is known so far.
        steps : int
            How many steps to forecast.

        Returns
        -------
        array (batch, steps, outputs) or (steps, outputs)
            The output for the last known step, then what follows from it.

        Raises
        ------
        ValueError, TypeError
            A shape, dtype or value does not fit, or output_size differs from input_size.
        """
        steps = checks.integer("steps", steps, at_least=1)
        network = self._network
        if network.output_size != self.input_size:
            raise ValueError(
                "forecast: expected a network with as many outputs as inputs, "
                f"got {network.output_size} outputs and {self.input_size} inputs"
            )
        sequences, start, single = self._inputs(x, None)
        state = np.empty((len(sequences), self.hidden_size), self.dtype)
        y = network.predict(sequences, start, state)
        forecast = np.empty((len(y), steps, network.output_size), self.dtype)
        forecast[:, 0] = y[:, -1]
        for step in range(1, steps):
            y = network.predict(forecast[:, step - 1 : step], state.copy(), state)
            forecast[:, step] = y[:, 0]
        return forecast[0] if single else forecast

    def loss(self, x: Any, y: Any, loss: str = "mse") -> float:
        """Return the loss of the predictions for x.

        Parameters
        ----------
        x : array (batch, time, inputs) or (time, inputs)
        y : array
            Targets: of the shape of the outputs, or for "cross_entropy" integer class numbers
            without the last axis.
        loss : {"mse", "sse", "cross_entropy"}
            The mean of the squared errors; half their sum; the mean over all steps of
            -log softmax(y_hat)[y], in nats.

        Returns
        -------
        float

        Raises
        ------
        ValueError, TypeError
            A shape, dtype or value does not fit, or there is no such loss.
        """
        found = losses.find(loss)
        sequences, targets = self._examples(x, y, found)
        return training.evaluate(self._network, sequences, targets, found)

    def train_step(
        self,
        x: Any,
        y: Any,
        optimizer: Optimizer,
        loss: str = "mse",
        clip_norm: float | None = None,
        clip_value: float | None = None,
    ) -> float:
        """Take one step of the optimizer on one batch.

        Parameters
        ----------
        x, y : array
            As in `loss`.
        optimizer : Optimizer
            `SGD`, `RMSprop`, `Adam` or `AdamW`; one that is new or has served this network only.
        loss : {"mse", "sse", "cross_entropy"}
        clip_norm : float, optional
            Scale the gradient down to this global norm where it is larger (Pascanu, Mikolov and
            Bengio 2013).
        clip_value : float, optional
            Or bring each of its elements between ±clip_value.

        Returns
        -------
        float
            The loss before the step.

        Raises
        ------
        ValueError, TypeError
            An argument does not fit; the network is untouched.
        DivergenceError
            The loss, the gradient or a new parameter is not finite; the step is not taken.
        """
        found = losses.find(loss)
        clipping = Clipping.checked(clip_norm, clip_value)
        self._check_optimizer(optimizer)
        sequences, targets = self._examples(x, y, found)
        value, _ = training.train_step(
            self._network, sequences, targets, optimizer, found, clipping
        )
        return value

    def fit(
        self,
        x: Any,
        y: Any,
        *,
        epochs: int,
        batch_size: int = 32,
        optimizer: Optimizer | None = None,
        loss: str = "mse",
        clip_norm: float | None = None,
        clip_value: float | None = None,
        shuffle: bool = True,
        seed: Any = None,
        validation_data: tuple[Any, Any] | None = None,
        progress: bool | None = None,
    ) -> History:
        """Train for some epochs of mini-batches.

        Interrupted (Ctrl-C), the network keeps its last whole step.

        Parameters
        ----------
        x, y : array
            As in `loss`.
        epochs : int
            Passes over the data.
        batch_size : int
            Sequences of a step; the last batch of an epoch may be smaller.
        optimizer : Optimizer, optional
            ``SGD(0.01, momentum=0.9)`` without it.
        loss : {"mse", "sse", "cross_entropy"}
        clip_norm, clip_value : float, optional
            As in `train_step`.
        shuffle : bool
            Whether each epoch takes the sequences in another order.
        seed : int or None, optional
            Of that order. Without it the network's own generator goes on, so that the network's
            seed determines everything.
        validation_data : (x, y), optional
            Data whose loss is recorded after each epoch.
        progress : bool, optional
            Whether to show a tqdm bar; by default where stderr is a terminal.

        Returns
        -------
        History
            With ``loss``, ``val_loss`` and ``grad_norm``, one entry an epoch.

        Raises
        ------
        ValueError, TypeError
            An argument does not fit; the network is untouched.
        DivergenceError
            The loss, the gradient or a new parameter is not finite; the parameters are those of
            before that step.
        ImportError
            ``progress=True`` where tqdm is not installed.
        """
        found = losses.find(loss)
        clipping = Clipping.checked(clip_norm, clip_value)
        epochs = checks.integer("epochs", epochs, at_least=1)
        batch_size = checks.integer("batch_size", batch_size, at_least=1)
        shuffle = checks.boolean("shuffle", shuffle)
        if progress is not None:
            progress = checks.boolean("progress", progress)
        if optimizer is None:
            optimizer = SGD(0.01, momentum=0.9)
        self._check_optimizer(optimizer)
        sequences, targets = self._examples(x, y, found)
        validation = None
        if validation_data is not None:
            if not isinstance(validation_data, (tuple, list)) or len(validation_data) != 2:
                is_sized = isinstance(validation_data, (tuple, list))
                length = f" of {len(validation_data)}" if is_sized else ""
                raise TypeError(
                    "validation_data: expected a pair (x, y), "
                    f"got a {type(validation_data).__name__}{length}"
                )
            with checks.within("validation_data"):
                validation = self._examples(*validation_data, found)
        return training.fit(
            self._network,
            sequences,
            targets,
            epochs=epochs,
            batch_size=batch_size,
            optimizer=optimizer,
            loss=found,
            clipping=clipping,
            shuffle=shuffle,
            rng=self._rng if seed is None else checks.generator(seed),
            validation=validation,
            progress=progress,
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the network to a file, from which `crnn.load` makes it again.

        The file is written beside its place and moved there: no crash leaves half of one. It is an
        .npz without pickles. What the network's random generator would do next is not in it.

        Parameters
        ----------
        path : path-like
            An existing file is replaced.

        Raises
        ------
        OSError
            The file cannot be written; one that existed is as it was.
        """
        from crnn import files

        description = {
            "format": FILE_FORMAT,
            "version": FILE_VERSION,
            "cell": "RNN",
            "input_size": self.input_size,
            "hidden_size": self.hidden_size,
            "output_size": self.output_size,
            "dtype": self.dtype.name,
        }
        files.write(path, description, {"parameters": self.flat_params})

    def _floats(
        self, name: str, value: Any, shapes: tuple[str, ...], sizes: dict[str, int]
    ) -> Array:
        return checks.floats(name, value, shapes, sizes, self.flat_params, self._kernels)

    def _inputs(self, x: Any, h0: Any) -> tuple[Array, Array | None, bool]:
        """Return x (batch, time, inputs), h0 (batch, hidden) or None, and if x is one sequence."""
        network = self._network
        # The usual case first: these few lines cost less than the arithmetic of a small network.
        if h0 is None and network.kernels.is_plain(x, network.flat, network.x_shape):
            return x, None, False
        sequences = self._floats(
            "x", x, ("batch time inputs", "time inputs"), {"inputs": self.input_size}
        )
        single = sequences.ndim == 2
        if single:
            sequences = sequences[None]
        if h0 is not None:
            sizes = {"batch": len(sequences), "hidden": self.hidden_size}
            axes = "hidden" if single else "batch hidden"
            h0 = self._floats("h0", h0, (axes,), sizes).reshape(-1, self.hidden_size)
        return sequences, h0, single

    def _examples(self, x: Any, y: Any, loss: losses.Loss) -> tuple[Array, Array]:
        """Return x (batch, time, inputs) and the targets of its outputs."""
        network = self._network
        sequences, _, single = self._inputs(x, None)
        B, T, _ = sequences.shape
        shape = (T, network.output_size) if single else (B, T, network.output_size)
        return sequences, loss.targets(y, shape, network.flat, network.kernels)

    def _check_optimizer(self, optimizer: Optimizer) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(
                "optimizer: expected one such as crnn.SGD or crnn.Adam, "
                f"got {type(optimizer).__name__}"
            )
        optimizer.check_owner(self.flat_params)


def load(path: str | os.PathLike[str], *, implementation: str | None = None) -> RNN:
    """Return the network that `RNN.save` wrote to a file.

    Nothing in a file is executed, and no more room is made than its size: files of unknown origin
    may be tried.

    Parameters
    ----------
    path : path-like
    implementation : {"native", "python"}, optional
        As of `RNN`.

    Raises
    ------
    ModelFileError
        The file is damaged, holds something else, or was written by a newer version.
    OSError
        It cannot be opened.

    Examples
    --------
    >>> import crnn, os, tempfile
    >>> net = crnn.RNN(input_size=2, hidden_size=8, output_size=1, seed=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     net.save(os.path.join(folder, "net.npz"))
    ...     twin = crnn.load(os.path.join(folder, "net.npz"))
    >>> bool((twin.flat_params == net.flat_params).all())
    True
    """
    from crnn import files

    description, arrays = files.read(path, _shapes_of)
    net = RNN(
        description["input_size"],
        description["hidden_size"],
        description["output_size"],
        dtype=description["dtype"],
        init="uniform",
        implementation=implementation,
    )
    net.flat_params[...] = arrays["parameters"]
    return net


def _shapes_of(description: Any) -> dict[str, tuple[np.dtype[Any], tuple[int, ...]]]:
    """Return what arrays the file of a network holds, or raise what its description lacks."""
    if not isinstance(description, dict) or description.get("format") != FILE_FORMAT:
        raise ModelFileError("expected a network of crnn, got a file of something else")
    version = description.get("version")
    if type(version) is not int or version < 1:
        raise ModelFileError(f"version: expected a whole number of at least 1, got {version!r}")
    if version > FILE_VERSION:
        raise ModelFileError(
            f"expected a file of version {FILE_VERSION} at most, got version {version}: "
            "a newer crnn wrote it"
        )
    if description.get("cell") != "RNN":
        raise ModelFileError(f"cell: expected 'RNN', got {description.get('cell')!r}")
    sizes = [description.get(name) for name in ("input_size", "hidden_size", "output_size")]
    for size in sizes[:2] if sizes[2] is None else sizes:
        if type(size) is not int or size < 1:
            raise ModelFileError(f"sizes: expected whole numbers of at least 1, got {sizes}")
    if description.get("dtype") not in ("float32", "float64"):
        raise ModelFileError(
            f"dtype: expected 'float32' or 'float64', got {description.get('dtype')!r}"
        )
    I, H, O = (size or 0 for size in sizes)
    n = sum(math.prod(shape) for shape in contracts.parameters(I, H, O).values())
    return {"parameters": (np.dtype(description["dtype"]), (n,))}


def _initialise(params: dict[str, Array], init: str, rng: "np.random.Generator") -> None:
    """Fill the weights; biases stay zero. Drawn in float64, so that both dtypes start alike."""
    hidden_size = len(params["b_h"])
    for name, view in params.items():
        if name.startswith("b_"):
            continue
        if init == "orthogonal" and name == "W_hh":
            Q, R = np.linalg.qr(rng.standard_normal(view.shape))
            # With R's diagonal positive, Q is distributed uniformly (Mezzadri 2007).
            view[...] = Q * np.sign(np.diag(R))
        else:
            limit = 1 / math.sqrt(hidden_size)
            if init == "orthogonal":
                limit = math.sqrt(6 / sum(view.shape))
            view[...] = rng.uniform(-limit, limit, view.shape)
