"""What all networks can do: what users pass is checked here, and handed to `crnn._network.network`."""

import math
import os
from collections.abc import Callable, Iterable
from functools import partial
from types import ModuleType
from typing import Any, ClassVar

import numpy as np

from crnn import _backend, _inputs as inputs, checks, losses
from crnn._training import loop as training
from crnn.checks import Array
from crnn._training.history import History
from crnn.kernels import cells
from crnn._network.architecture import Architecture
from crnn.metrics import find as find_metrics
from crnn._network.network import Network, Tape
from crnn.optimizers import SGD, Optimizer
from crnn._network.parameters import Gradients, Parameters
from crnn._training.run import Clipping, Controls, Plan, Run
from crnn._training.data import Dataset, padded

# Sequences of different lengths that are predicted side by side
RAGGED_BATCH = 64


class RecurrentNetwork:
    """A network with recurrent hidden layers of one cell and a linear output layer.

    `crnn.RNN`, `crnn.GRU` and `crnn.LSTM` are such networks and document their arguments.
    """

    _SETTINGS: ClassVar[dict[str, dict[str, Any]]] = {}
    """By the cells of a class: the arguments, but for defaults, that choose them."""

    def __init__(
        self,
        cell: str,
        input_size: int,
        hidden_size: int,
        output_size: int | None,
        *,
        num_layers: int,
        bidirectional: bool,
        dropout: float,
        return_sequences: bool,
        trainable_h0: bool,
        dtype: Any,
        seed: Any,
        init: str,
        implementation: str | None,
    ) -> None:
        if output_size is not None:
            output_size = checks.integer("output_size", output_size, at_least=1)
        architecture = Architecture(
            checks.integer("input_size", input_size, at_least=1),
            checks.integer("hidden_size", hidden_size, at_least=1),
            output_size,
            checks.integer("num_layers", num_layers, at_least=1),
            checks.boolean("bidirectional", bidirectional),
            checks.number("dropout", dropout, at_least=0.0, below=1.0),
            checks.boolean("return_sequences", return_sequences),
            checks.boolean("trainable_h0", trainable_h0),
            cell,
        )
        if architecture.dropout and architecture.num_layers == 1:
            raise ValueError(
                f"dropout: expected 0 with one layer, because it acts between layers, got {dropout}"
            )
        float_dtype = cells.float_dtype(dtype)
        checks.choice("init", init, ("orthogonal", "uniform"))
        kernels = _backend.kernels
        if implementation is not None:
            checks.choice("implementation", implementation, ("native", "python"))
            kernels = _backend.load(implementation)
        self._rng = checks.generator(seed)
        self._network = Network(architecture, float_dtype, kernels)
        _initialise(self._network.params, architecture.hidden_size, init, self._rng)

    @property
    def input_size(self) -> int:
        """Features of x_t."""
        return self._network.architecture.input_size

    @property
    def hidden_size(self) -> int:
        """Hidden units of each layer and direction."""
        return self._network.architecture.hidden_size

    @property
    def output_size(self) -> int | None:
        """Features of y_t, or None where the outputs are the hidden states."""
        return self._network.architecture.output_size

    @property
    def num_layers(self) -> int:
        """How many hidden layers there are."""
        return self._network.architecture.num_layers

    @property
    def bidirectional(self) -> bool:
        """Whether each layer reads sequences from their end too."""
        return self._network.architecture.bidirectional

    @property
    def dropout(self) -> float:
        """Share of the numbers between layers that a training step leaves out."""
        return self._network.architecture.dropout

    @property
    def return_sequences(self) -> bool:
        """Whether there is an output for each step, and not one per sequence."""
        return self._network.architecture.return_sequences

    @property
    def trainable_h0(self) -> bool:
        """Whether the states that sequences start from are a parameter."""
        return self._network.architecture.trainable_h0

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of all parameters and results."""
        dtype: np.dtype[Any] = self._network.flat.dtype
        return dtype

    @property
    def implementation(self) -> str:
        """Which kernels run: "native" or "python"."""
        return _backend.name_of(self._kernels)

    @property
    def params(self) -> Parameters:
        """Parameters by name, as views of `flat_params`: assigning into one changes the network.

        W_xh (hidden, inputs), W_hh (hidden, hidden), b_h (hidden,), W_hy (outputs, hidden),
        b_y (outputs,), h0. Those of deeper layers end in _l1, _l2; those of backward directions in
        _reverse. Each is an attribute of the network too.
        """
        return Parameters(self.flat_params, self._network.params)

    @property
    def flat_params(self) -> Array:
        """The vector under all parameters, array (n,), in the order of `params`."""
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
        usual = Architecture._field_defaults
        settings = {
            name: value
            for name, value in self._network.architecture._asdict().items()
            if name != "cell" and (name not in usual or value != usual[name])
        }
        settings |= self._SETTINGS[self._network.architecture.cell]
        settings |= {"dtype": self.dtype.name, "implementation": self.implementation}
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in settings.items())})"

    def forward(
        self,
        x: Any,
        h0: Any = None,
        lengths: Any = None,
        checkpoint_every: int | None = None,
    ) -> Tape:
        """Run sequences and keep what `backward` needs.

        Parameters
        ----------
        x : array (batch, time, inputs) or (time, inputs); or whole numbers (batch, time) or (time,)
        h0 : array (batch, hidden), or (hidden,) for one sequence; optional
            The states to start from; without them zero, or the parameter h0. Of several layers or
            directions (layers * directions, batch, hidden) or (layers * directions, hidden). Of an
            LSTM the pair (h, c) of such arrays.
        lengths : array of int (batch,), optional
            Steps of each sequence; without it all of them.
        checkpoint_every : int, optional
            Keep only the states before every so many steps, and compute the others again in
            `backward`: less memory for more time, and the same gradient. A good choice is the root
            of the number of steps (Chen, Xu, Zhang and Guestrin 2016). Not with `bidirectional`.

        Returns
        -------
        Tape
            With ``y``, ``h`` and ``h_n``.

        Raises
        ------
        ValueError, TypeError
            A shape, dtype or value does not fit.
        """
        network = self._network
        sequences, start, ends, single = inputs.sequences(network, x, h0, lengths)
        if checkpoint_every is not None:
            checkpoint_every = checks.integer("checkpoint_every", checkpoint_every, at_least=1)
            if self.bidirectional:
                raise ValueError(
                    "checkpoint_every: expected None with bidirectional=True, which reads "
                    f"sequences from both ends, got {checkpoint_every}"
                )
        # BPTT reads x again: a buffer that its owner fills anew must not change the gradient.
        return network.forward(sequences.copy(), start, ends, checkpoint_every, single=single)

    def backward(self, tape: Tape, dy: Any, dh_n: Any = None) -> Gradients:
        """Backpropagate through time. Nothing of the network changes.

        Parameters
        ----------
        tape : Tape
            Of this network's `forward`.
        dy : array, of the shape of ``tape.y``
            dL/dy; what stands past a sequence's end is left out.
        dh_n : array, of the shape of ``tape.h_n``, or a pair as that is; optional
            What reaches the last states beside their outputs, as from a later part of the sequence.

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
        network = self._network
        if tape._network is not network:
            raise ValueError("tape: expected one of this network's forward, got another network's")
        single, of = tape._single, network.architecture
        B, T = tape._x.shape[:2]
        sizes = {"batch": B, "time": T, "outputs": of.outputs}
        axes = ("" if single else "batch ") + ("time " if of.return_sequences else "") + "outputs"
        dy = inputs.floats(network, "dy", dy, axes, sizes)
        dy = dy.reshape((B, T, of.outputs) if of.return_sequences else (B, of.outputs))
        if dh_n is not None:
            dh_n = inputs.states(self._network, "dh_n", dh_n, B, single)
        flat = np.zeros_like(self.flat_params)
        dx, dh0 = network.backward(tape, dy, dh_n, flat)
        views = cells.views(flat, network.shapes)
        if single and dx is not None:
            dx = dx[0]
        return Gradients(flat, views, dx, network.shown(dh0, single=single))

    def predict(
        self, x: Any, h0: Any = None, return_state: bool = False, lengths: Any = None
    ) -> Any:
        """Return the outputs for sequences, without keeping a tape.

        Parameters
        ----------
        x : array (batch, time, inputs) or (time, inputs); or whole numbers (batch, time) or (time,)
            Or a list of arrays of different lengths, each of one sequence.
        h0 : array (batch, hidden), or (hidden,) for one sequence; optional
            The states to start from, as in `forward`.
        return_state : bool
            Whether to return the last states too, from which a later call can go on.
        lengths : array of int (batch,), optional
            Steps of each sequence; without it all of them.

        Returns
        -------
        y : array (batch, time, outputs) or (time, outputs)
            Zero past a sequence's end. Without `return_sequences` (batch, outputs) or (outputs,).
            Of a list, a list of arrays (time_i, outputs).
        h_n : array, of the shape of h0; of an LSTM the pair (h, c)
            Only with `return_state`.

        Raises
        ------
        ValueError, TypeError
            A shape, dtype or value does not fit.
        """
        if return_state is not False:
            return_state = checks.boolean("return_state", return_state)
        network = self._network
        if isinstance(x, (list, tuple)) and inputs.is_ragged(x):
            return self._predict_ragged(x, h0, return_state, lengths)
        sequences, start, ends, single = inputs.sequences(network, x, h0, lengths)
        if ends is None and not return_state:
            y = network.predict(sequences, start)
            return y[0] if single else y
        h_n = network.room_for_states(len(sequences)) if return_state else None
        y = network.predict(sequences, start, h_n, ends)
        if single:
            y = y[0]
        return y if h_n is None else (y, network.shown(h_n, single=single))

    def _predict_ragged(self, x: Any, h0: Any, return_state: bool, lengths: Any) -> Any:
        """Predict sequences of different lengths, side by side with others of about theirs."""
        if lengths is not None:
            raise ValueError(
                "lengths: expected None with a list of sequences, which have their own"
            )
        network, of = self._network, self._network.architecture
        sequences = inputs.ragged(network, x)
        start = None
        if h0 is not None:
            start = inputs.states(network, "h0", h0, len(sequences), single=False)
        states = network.room_for_states(len(sequences))
        y: list[Array] = [np.empty(0)] * len(sequences)
        ends = np.array([len(sequence) for sequence in sequences])
        order = np.argsort(ends, kind="stable")
        for rows in np.split(order, range(RAGGED_BATCH, len(order), RAGGED_BATCH)):
            together = padded([sequences[row] for row in rows], int(ends[rows].max()))
            h_n = network.room_for_states(len(rows))
            first = None if start is None else np.ascontiguousarray(start[:, rows])
            for row, y_row in zip(
                rows, network.predict(together, first, h_n, ends[rows]), strict=True
            ):
                y[row] = y_row[: ends[row]].copy() if of.return_sequences else y_row
            states[:, rows] = h_n
        result = y if of.return_sequences else np.array(y)
        return (result, network.shown(states, single=False)) if return_state else result

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
            state, of an LSTM the pair (h, c), is zero at first.

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
        of, kernels = self._network.architecture, self._kernels
        if of.bidirectional:
            raise ValueError(
                "stream: expected a network that reads in one direction, got bidirectional=True"
            )
        if batch_size is not None:
            batch_size = checks.integer("batch_size", batch_size, at_least=1)
        like = np.empty(0, self.dtype)

        def converter(I: int) -> Callable[[str, Any, str], Array]:
            sizes = {"inputs": I, "hidden": of.hidden_size, "batch": batch_size or 1}

            def convert(name: str, value: Any, axes: str) -> Array:
                shape = axes if batch_size is None else f"batch {axes}"
                numbers = inputs.categories(value, I)
                # Here the axes tell features from categories.
                if numbers is None or numbers.ndim == len(shape.split()):
                    return checks.floats(name, value, (shape,), sizes, like, kernels)
                shape = shape.removesuffix("inputs").strip()
                numbers = checks.classes(name, numbers, (shape,), sizes, I)
                one_hot = np.zeros((*numbers.shape, I), like.dtype)
                np.put_along_axis(one_hot, numbers[..., None], 1, axis=-1)
                return one_hot

            return convert

        streams = [
            # What one layer hands to the next is as it should be, or infinite as an output may be.
            kernels.Stream(
                of.cell, theta, I, of.hidden_size, O, batch_size, None if layer else converter(I)
            )
            for layer, (theta, I, O) in enumerate(self._network.parts())
        ]
        if of.states == 1 and not of.trainable_h0:
            return streams[0]
        from crnn.streams import LayeredStream

        network, B, single = self._network, batch_size or 1, batch_size is None
        return LayeredStream(
            streams,
            network.first_states(None, B),
            lambda value: inputs.states(network, "state", value, B, single),
            partial(network.shown, single=single),
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
        outputs = network.architecture.outputs
        if outputs != self.input_size:
            raise ValueError(
                "forecast: expected a network with as many outputs as inputs, "
                f"got {outputs} outputs and {self.input_size} inputs"
            )
        if self.bidirectional or not self.return_sequences:
            raise ValueError(
                "forecast: expected a network that reads in one direction and has an output for "
                f"each step, got {self!r}"
            )
        sequences, start, _, single = inputs.sequences(network, x)
        if sequences.ndim == 2:
            raise TypeError("x: expected floats, which outputs are too, got category numbers")
        state = network.room_for_states(len(sequences))
        y = network.predict(sequences, start, state)
        forecast = np.empty((len(y), steps, outputs), self.dtype)
        forecast[:, 0] = y[:, -1]
        for step in range(1, steps):
            y = network.predict(forecast[:, step - 1 : step], state.copy(), state)
            forecast[:, step] = y[:, 0]
        return forecast[0] if single else forecast

    def loss(
        self, x: Any, y: Any, loss: Any = "mse", lengths: Any = None, mask: Any = None
    ) -> float:
        """Return the loss of the predictions for x.

        Parameters
        ----------
        x : array (batch, time, inputs) or (time, inputs); or whole numbers (batch, time) or (time,)
            Or a list of arrays of different lengths, each of one sequence.
        y : array
            Targets: of the shape of the outputs, or for "cross_entropy" integer class numbers
            without the last axis. A list where x is one and there is an output for each step.
        loss : str or object
            As the losses in `crnn.losses`: "mse" (the mean of the squared errors), "sse" (half
            their sum), "cross_entropy" (the mean over all steps of -log softmax(y_hat)[y], in
            nats), "binary_cross_entropy", "huber"; or an object with their two methods.
        lengths : array of int (batch,), optional
            Steps of each sequence; without it all of them. Others count nothing.
        mask : array (batch, time), or a list of arrays (time_i,); optional
            What each step counts, 1 without it; for one sequence (time,). Without
            `return_sequences` what each sequence counts (batch,).

        Returns
        -------
        float

        Raises
        ------
        ValueError, TypeError
            A shape, dtype or value does not fit, or there is no such loss.
        """
        found = losses.find(loss)
        dataset = inputs.dataset(self._network, x, y, found, lengths, mask)
        return training.evaluate(self._network, dataset, found, {})[0]

    def train_step(
        self,
        x: Any,
        y: Any,
        optimizer: Optimizer,
        loss: Any = "mse",
        clip_norm: float | None = None,
        clip_value: float | None = None,
        lengths: Any = None,
        mask: Any = None,
    ) -> float:
        """Take one step of the optimizer on one batch.

        Parameters
        ----------
        x, y : array
            As in `loss`.
        optimizer : Optimizer
            `SGD`, `RMSprop`, `Adam` or `AdamW`; one that is new or has served this network only.
        loss : str or object
            As in `loss`.
        clip_norm : float, optional
            Scale the gradient down to this global norm where it is larger (Pascanu, Mikolov and
            Bengio 2013).
        clip_value : float, optional
            Or bring each of its elements between ±clip_value.
        lengths, mask : array, optional
            As in `loss`.

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
        network = self._network
        # The usual case first: these few lines cost less than the arithmetic of a small network.
        if (
            lengths is None
            and mask is None
            and network.is_simple
            and found.kernel is not None
            and network.kernels.is_plain(x, network.flat, network.x_shape)
        ):
            outputs = network.architecture.outputs
            if found.of_classes or not network.kernels.is_plain(
                y, network.flat, (x.shape[0], x.shape[1], outputs)
            ):
                sizes = {"batch": x.shape[0], "time": x.shape[1], "outputs": outputs}
                y = found.targets(y, sizes, network.flat, network.kernels)
            return training.fused_step(network, x, y, optimizer, found, clipping)[0]
        dataset = inputs.dataset(self._network, x, y, found, lengths, mask)
        batch = dataset.take(np.arange(len(dataset)))
        return training.train_step(network, batch, optimizer, found, clipping, self._rng)[0]

    def fit(
        self,
        x: Any,
        y: Any,
        *,
        epochs: int,
        batch_size: int = 32,
        optimizer: Optimizer | None = None,
        loss: Any = "mse",
        lengths: Any = None,
        mask: Any = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        bptt: int | None = None,
        shuffle: bool = True,
        seed: Any = None,
        validation_data: tuple[Any, Any] | None = None,
        validation_fraction: float | None = None,
        patience: int | None = None,
        metrics: Any = (),
        callbacks: Any = (),
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_every: int = 1,
        resume: bool = False,
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
        loss : str or object
        lengths, mask : array, optional
            As in `loss`.
        clip_norm, clip_value : float, optional
            As in `train_step`.
        bptt : int, optional
            Truncated BPTT (Williams and Peng 1990): take a step after every so many time steps.
            The state goes on from one such chunk to the next and no gradient does, so that long
            sequences take no more memory than short ones.
        shuffle : bool
            Whether each epoch takes the sequences in another order.
        seed : int or None, optional
            Of that order. Without it the network's own generator goes on, so that the network's
            seed determines everything.
        validation_data : (x, y), optional
            Data whose loss is recorded after each epoch.
        validation_fraction : float, optional
            Or the share of the sequences, the last ones as given, that are such data instead of
            being trained on; at least one sequence.
        patience : int, optional
            Stop after so many epochs in a row without a lower loss than any before, on the
            validation data or without them in training; and at the end, however it comes, give the
            network the parameters that it had after the best epoch, ``history.best_epoch``.
        metrics : list of str or function
            What else to record after each epoch, of the validation data or without them of the
            training data: "accuracy" (with "cross_entropy" or "binary_cross_entropy"), "mae", or
            functions ``f(y_hat, y) -> float`` of all outputs and targets. They take (batch, time,
            outputs) where every step counts, else (steps, outputs) of those that do.
        callbacks : list of functions
            Called as ``f(net, history)`` after each epoch; if one returns True, that was the last.
        checkpoint : path-like, optional
            A file for the state of the run after an epoch: written whole or not at all, and
            replacing the one before.
        checkpoint_every : int
            Write it after every so many epochs, and after the last.
        resume : bool
            Go on from the checkpoint, where there is one: the parameters, the history and all else
            become those of a run that was never interrupted, to the bit on the same kind of
            processor. The arguments have to be those of that run; epochs may be more, and callbacks
            of the last epoch are called again.
        progress : bool, optional
            Whether to show a tqdm bar; by default where stderr is a terminal.

        Returns
        -------
        History
            With ``loss``, ``val_loss``, ``grad_norm``, ``lr`` and ``metrics``, one entry an epoch.

        Raises
        ------
        ValueError, TypeError
            An argument does not fit; the network is untouched.
        DivergenceError
            The loss, the gradient or a new parameter is not finite; the parameters are those of
            before that step.
        ModelFileError
            The checkpoint is damaged, holds something else, or is of a run with other arguments;
            the network is untouched.
        OSError
            The checkpoint cannot be written or read.
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
        if bptt is not None:
            bptt = checks.integer("bptt", bptt, at_least=1)
            if self.bidirectional or not self.return_sequences:
                raise ValueError(
                    "bptt: expected None unless the network reads in one direction and has an "
                    f"output for each step, got {bptt}"
                )
        if patience is not None:
            patience = checks.integer("patience", patience, at_least=1)
        checkpoint_every = checks.integer("checkpoint_every", checkpoint_every, at_least=1)
        resume = checks.boolean("resume", resume)
        if resume and checkpoint is None:
            raise ValueError("resume: expected a checkpoint with it, got checkpoint=None")
        dataset = inputs.dataset(self._network, x, y, found, lengths, mask)
        if bptt is not None:
            dataset.check_time_axis()
        dataset, validation = self._split(dataset, found, validation_data, validation_fraction)
        controls = Controls(
            validation, find_metrics(metrics, found), patience, self._bound(callbacks)
        )
        rng = self._rng if seed is None else checks.generator(seed)
        run = Run(self._network, optimizer, rng)
        plan = Plan(batch_size, found, clipping, bptt, shuffle)
        place = None
        if checkpoint is not None:
            # Here and not above: the libraries that files need take longer to import than crnn.
            from crnn._training import checkpoints

            settings = checkpoints.settings(run, plan, controls, len(dataset))
            place = checkpoints.Checkpoint(checkpoint, checkpoint_every, settings)
        return training.fit(
            run,
            dataset,
            epochs=epochs,
            plan=plan,
            controls=controls,
            checkpoint=place,
            resume=resume,
            progress=progress,
        )

    def _split(
        self, dataset: Dataset, loss: losses.Loss, validation_data: Any, fraction: Any
    ) -> tuple[Dataset, Dataset | None]:
        """Return what is trained on and what is validated on, of each of which something counts."""
        validation = None
        if validation_data is not None:
            if fraction is not None:
                raise ValueError(
                    "validation_fraction: expected only one of validation_fraction and "
                    "validation_data, got both"
                )
            if not isinstance(validation_data, (tuple, list)) or len(validation_data) != 2:
                is_sized = isinstance(validation_data, (tuple, list))
                length = f" of {len(validation_data)}" if is_sized else ""
                raise TypeError(
                    "validation_data: expected a pair (x, y), "
                    f"got a {type(validation_data).__name__}{length}"
                )
            x, y = validation_data
            with checks.within("validation_data"):
                validation = inputs.dataset(self._network, x, y, loss)
        elif fraction is not None:
            fraction = checks.number("validation_fraction", fraction, above=0.0, below=1.0)
            n = len(dataset)
            if n < 2:
                raise ValueError(f"validation_fraction: expected two sequences or more, got {n}")
            dataset, validation = dataset.parted(n - min(max(round(n * fraction), 1), n - 1))
        training.check_counts(dataset, loss)
        if validation is not None:
            with checks.within("validation data"):
                training.check_counts(validation, loss)
        return dataset, validation

    def _bound(self, callbacks: Any) -> list[Callable[[History], Any]]:
        """Return callbacks as functions of the history alone."""
        if not isinstance(callbacks, (list, tuple)) or not all(map(callable, callbacks)):
            raise TypeError(f"callbacks: expected a list of functions, got {callbacks!r}")
        return [partial(callback, self) for callback in callbacks]

    def astype(self, dtype: Any) -> "RecurrentNetwork":
        """Return a copy of the network with parameters of another dtype.

        Parameters
        ----------
        dtype : {"float32", "float64"}

        Returns
        -------
        RNN

        Raises
        ------
        ValueError
            There is no such dtype, or a parameter is too large for it.
        """
        from crnn import saved

        wanted = cells.float_dtype(dtype)
        if np.abs(self.flat_params).max() > np.finfo(wanted).max:
            raise ValueError(f"dtype: expected one that holds all parameters, got {wanted}")
        description = saved.describe(self) | {"dtype": wanted.name}
        return saved.rebuild(description, {"parameters": self.flat_params}, self.implementation)

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
        from crnn import saved

        saved.write(self, path)

    def to_torch(self) -> Any:
        """Return PyTorch's own modules with the weights of this network.

        Returns
        -------
        module : torch.nn.RNN, GRU or LSTM
            ``batch_first``, with all of crnn's bias in ``bias_ih``.
        linear : torch.nn.Linear or None
            The output layer, for the outputs of `module`; without `return_sequences` for the last
            states of its last layer.

        Raises
        ------
        ImportError
            PyTorch is not installed.
        ValueError
            PyTorch has no such layer: a GRU with ``reset_after=False``, or one with trainable_h0.
        """
        from crnn.torch import to_torch

        return to_torch(self)

    def _check_optimizer(self, optimizer: Optimizer) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(
                "optimizer: expected one such as crnn.SGD or crnn.Adam, "
                f"got {type(optimizer).__name__}"
            )
        optimizer.check_owner(self.flat_params)


def _initialise(
    params: dict[str, Array], hidden_size: int, init: str, rng: "np.random.Generator"
) -> None:
    """Fill the weights; the rest stays zero. Drawn in float64, so that both dtypes start alike."""
    for name, view in params.items():
        if not name.startswith("W_"):
            continue
        # Of a gated cell, each gate by itself
        blocks = [view] if name == "W_hy" else np.split(view, len(view) // hidden_size)
        for block in blocks:
            if init == "orthogonal" and name.startswith("W_hh"):
                Q, R = np.linalg.qr(rng.standard_normal(block.shape))
                # With R's diagonal positive, Q is distributed uniformly (Mezzadri 2007).
                block[...] = Q * np.sign(np.diag(R))
            else:
                limit = 1 / math.sqrt(hidden_size)
                if init == "orthogonal":
                    limit = math.sqrt(6 / sum(block.shape))
                block[...] = rng.uniform(-limit, limit, block.shape)
