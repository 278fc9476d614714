"""RecurrentNetwork: everything that all networks do. Arguments are checked here and passed on."""

import copy
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Generic, Literal, Self, TypeAlias, overload

import numpy as np
import numpy.typing as npt

from crnn import _backend, checks
from crnn._inputs import fit_arguments, sequences
from crnn._network import memory
from crnn._network.architecture import Architecture
from crnn._network.initializers import initialize
from crnn._network.network import Network
from crnn._network.parameters import Gradients, Parameters
from crnn._network.tape import Tape
from crnn._training import evaluation, loop, step
from crnn._training.communicator import Communicator, stopping_together
from crnn._training.evaluation import Metric
from crnn._training.history import History
from crnn._training.run import Clipping, Controls, Plan, Run
from crnn._typing import Array, StateLike, StateT
from crnn.constraints import ConstraintsLike
from crnn.kernels import cells, contracts
from crnn.kernels.constraints import Constraints
from crnn.learners import Learner, check_learnable
from crnn.losses import CustomLoss, Loss, get_loss
from crnn.metrics import better_values, get_metrics
from crnn.optimizers import SGD, Optimizer
from crnn.streams import Stream, make_stream
from crnn.trainers import Trainer

Seed: TypeAlias = "int | np.random.Generator | None"
Sequences: TypeAlias = npt.ArrayLike | Sequence[npt.ArrayLike]
"""An array, or a list of arrays of different lengths."""
Marks: TypeAlias = npt.ArrayLike | Sequence[npt.ArrayLike]
"""An array of bools, or a list of such of different lengths."""
LossLike: TypeAlias = str | Loss | CustomLoss

NETWORK_KIND, NETWORK_VERSION = "network", 2
"""The kind and the version of the files that `save` writes."""

_MOVED = {"to_torch": "crnn.torch.to_torch(net)"}


class RecurrentNetwork(Generic[StateT]):
    """A network with recurrent hidden layers of one cell and a linear output layer.

    `crnn.RNN`, `crnn.GRU` and `crnn.LSTM` are such networks and document their arguments.
    """

    _CELL_ARGUMENTS: ClassVar[dict[str, dict[str, Any]]] = {}
    """For each cell of a class: the constructor's arguments that choose it, but for defaults."""

    def __init__(
        self,
        architecture: Architecture,
        *,
        dtype: npt.DTypeLike,
        seed: Seed,
        init: str,
        implementation: str | None,
    ) -> None:
        architecture = _checked(architecture)
        float_dtype = contracts.float_dtype(dtype)
        checks.choice("init", init, ("orthogonal", "uniform"))
        kernels = _backend.kernels
        if implementation is not None:
            checks.choice("implementation", implementation, ("native", "python"))
            kernels = _backend.load(implementation)
        self._rng = checks.generator(seed)
        self._network = Network(architecture, float_dtype, kernels)
        weights = {name: view[None] for name, view in self._network.params.items()}
        initialize(weights, architecture.hidden_size, init, [self._rng])

    @property
    def architecture(self) -> Architecture:
        """The sizes and options of the network."""
        return self._network.architecture

    @property
    def input_size(self) -> int:
        """Features of x_t."""
        return self.architecture.input_size

    @property
    def hidden_size(self) -> int:
        """Hidden units of each layer and direction."""
        return self.architecture.hidden_size

    @property
    def output_size(self) -> int | None:
        """Features of y_t, or None where the outputs are the hidden states."""
        return self.architecture.output_size

    @property
    def num_layers(self) -> int:
        """How many hidden layers there are."""
        return self.architecture.num_layers

    @property
    def bidirectional(self) -> bool:
        """Whether each layer reads sequences from their end too."""
        return self.architecture.bidirectional

    @property
    def dropout(self) -> float:
        """Share of the numbers between layers that a training step leaves out."""
        return self.architecture.dropout

    @property
    def return_sequences(self) -> bool:
        """Whether there is an output for each step, and not one per sequence."""
        return self.architecture.return_sequences

    @property
    def trainable_h0(self) -> bool:
        """Whether the states that sequences start from are a parameter."""
        return self.architecture.trainable_h0

    @property
    def categorical(self) -> bool:
        """Whether inputs are category numbers."""
        return self.architecture.categorical

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of all parameters and results."""
        dtype: np.dtype[Any] = self._network.flat.dtype
        return dtype

    @property
    def implementation(self) -> str:
        """Which kernels run: "native" or "python"."""
        return _backend.name_of(self._network.kernels)

    @property
    def params(self) -> Parameters:
        """Parameters by name, as views of `flat_params`: assigning into one changes the network.

        `RNN` documents their names, and `GRU` and `LSTM` the shapes of theirs. Each is an attribute
        of the network too.
        """
        return Parameters(self.flat_params, self._network.params)

    @property
    def flat_params(self) -> Array:
        """The vector (n,) of all parameters, in the order of `params`."""
        return self._network.flat

    @flat_params.setter
    def flat_params(self, value: Array) -> None:
        # `net.flat_params *= 2` changes the vector, then assigns it.
        if value is not self._network.flat:
            raise AttributeError("flat_params: assign into it, net.flat_params[...] = values")

    def __getattr__(self, name: str) -> Array:
        # Reached for names that are no ordinary attributes, such as those of parameters.
        network = self.__dict__.get("_network")
        if network is not None and name in network.params:
            view: Array = network.params[name]
            return view
        if name in _MOVED:
            raise TypeError(f"{name}: moved, use {_MOVED[name]}")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        if "_network" in self.__dict__ and name in self._network.params:
            # `net.W_hh *= 2` changes the view, then assigns it.
            if value is self._network.params[name]:
                return
            raise AttributeError(
                f"{name} is a view of flat_params: assign into it, net.{name}[...] = values"
            )
        object.__setattr__(self, name, value)

    def __dir__(self) -> Iterable[str]:
        return [*object.__dir__(self), *self._network.params]

    def __repr__(self) -> str:
        defaults = Architecture._field_defaults
        arguments = {
            name: value
            for name, value in self.architecture.describe().items()
            if name != "cell" and (name not in defaults or value != defaults[name])
        }
        arguments |= self._cell_arguments()
        arguments |= {"dtype": self.dtype.name, "implementation": self.implementation}
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in arguments.items())})"

    def _cell_arguments(self) -> dict[str, Any]:
        """Return the constructor's arguments that chose the cell, but for defaults."""
        return self._CELL_ARGUMENTS[self.architecture.cell]

    def forward(
        self,
        x: npt.ArrayLike,
        h0: StateLike | None = None,
        lengths: npt.ArrayLike | None = None,
        checkpoint_every: int | None = None,
        skip: npt.ArrayLike | None = None,
        resets: npt.ArrayLike | None = None,
    ) -> Tape[StateT]:
        """Run sequences and keep what `backward` needs.

        Parameters
        ----------
        x : array (batch, time, inputs) or (time, inputs); with categories (batch, time) or (time,)
        h0 : array (batch, hidden), or (hidden,) for one sequence; optional
            The states to start from; without them zero, or the parameter h0. For several layers or
            directions (layers * directions, batch, hidden) or (layers * directions, hidden). For an
            LSTM the pair (h, c) of such arrays.
        lengths : array of int (batch,), optional
            Steps of each sequence; without it all of them.
        checkpoint_every : int, optional
            Keep only the states before every `checkpoint_every` steps, and compute the others again
            in `backward`: less memory for more time, and the same gradient. A good choice is the
            square root of the number of steps (Chen, Xu, Zhang and Guestrin 2016). Not with
            `bidirectional`.
        skip : array of bool (batch, time), or (time,) for one sequence; optional
            Where True, a step is not read: the state stays as it is, and the output is that of the
            state before. ``x`` may hold anything there. A backward direction keeps the state that
            it has, which comes from later steps.
        resets : array of bool (batch, time), or (time,) for one sequence; optional
            Where True, a new sequence begins: before that step the state becomes zero, or the
            parameter h0, and no gradient flows back past it. At the first step it takes the place
            of the argument `h0`. Not with `bidirectional`.

        Returns
        -------
        Tape
            With ``y``, ``h`` and ``h_n``.

        Raises
        ------
        ValueError, TypeError
            A shape, dtype or value does not fit.
        """
        checked, start, ends, skipped, restarted, single = sequences.sequences(
            self._network, x, h0, lengths, skip, resets
        )
        if checkpoint_every is not None:
            checkpoint_every = checks.integer("checkpoint_every", checkpoint_every, at_least=1)
            if self.bidirectional:
                raise ValueError(
                    "checkpoint_every: expected None with bidirectional=True, which reads "
                    f"sequences from both ends, got {checkpoint_every}"
                )
        # Copies: BPTT reads both again, and their owner may reuse the arrays before.
        tape: Tape[StateT] = self._network.forward(
            memory.copy(checked),
            None if start is None else start.copy(),
            ends,
            skip=skipped,
            resets=restarted,
            checkpoint_every=checkpoint_every,
        )
        tape.is_single = single
        return tape

    def backward(
        self, tape: Tape[StateT], dy: npt.ArrayLike, dh_n: StateLike | None = None
    ) -> Gradients[StateT]:
        """Backpropagate through time. Nothing in the network changes.

        Parameters
        ----------
        tape : Tape
            From this network's `forward`.
        dy : array, of the shape of ``tape.y``
            dL/dy; what is past a sequence's end does not count.
        dh_n : array, of the shape of ``tape.h_n``, or a pair as that is; optional
            dL/dh_n beside what comes through the outputs, as from a later part of the sequence.

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
        network, architecture = self._network, self.architecture
        if tape.owner is not network:
            raise ValueError("tape: expected one of this network's forward, got another network's")
        single = tape.is_single
        B, T = tape.x.shape[:2]
        sizes = {"batch": B, "time": T, "outputs": architecture.outputs}
        axes = "" if single else "batch "
        axes += "time outputs" if architecture.return_sequences else "outputs"
        checked = sequences.floats(network, "dy", dy, axes, sizes)
        # A copy: `Network.backward` sets what is past sequences' ends to zero.
        checked = memory.copy(checked.reshape(tape.outputs.shape))
        states = None
        if dh_n is not None:
            states = sequences.states(network, "dh_n", dh_n, B, single)
        flat = memory.zeros(self.flat_params.shape, self.dtype)
        dx, dh0 = network.backward(tape, checked, states, flat, wants_dx=True)
        if single and dx is not None:
            dx = dx[0]
        views = cells.views(flat, network.shapes)
        return Gradients(flat, views, dx, self.architecture.public_states(dh0, single=single))

    @overload
    def predict(
        self,
        x: npt.NDArray[Any],
        h0: StateLike | None = None,
        return_state: Literal[False] = False,
        lengths: npt.ArrayLike | None = None,
        skip: Marks | None = None,
        resets: Marks | None = None,
    ) -> Array: ...

    @overload
    def predict(
        self,
        x: npt.NDArray[Any],
        h0: StateLike | None = None,
        *,
        return_state: Literal[True],
        lengths: npt.ArrayLike | None = None,
        skip: Marks | None = None,
        resets: Marks | None = None,
    ) -> tuple[Array, StateT]: ...

    @overload
    def predict(
        self,
        x: npt.NDArray[Any],
        h0: StateLike | None,
        return_state: Literal[True],
        lengths: npt.ArrayLike | None = None,
        skip: Marks | None = None,
        resets: Marks | None = None,
    ) -> tuple[Array, StateT]: ...

    @overload
    def predict(
        self,
        x: Sequences,
        h0: StateLike | None = None,
        return_state: Literal[False] = False,
        lengths: npt.ArrayLike | None = None,
        skip: Marks | None = None,
        resets: Marks | None = None,
    ) -> Array | list[Array]: ...

    @overload
    def predict(
        self,
        x: Sequences,
        h0: StateLike | None = None,
        *,
        return_state: Literal[True],
        lengths: npt.ArrayLike | None = None,
        skip: Marks | None = None,
        resets: Marks | None = None,
    ) -> tuple[Array | list[Array], StateT]: ...

    @overload
    def predict(
        self,
        x: Sequences,
        h0: StateLike | None = None,
        return_state: bool = False,
        lengths: npt.ArrayLike | None = None,
        skip: Marks | None = None,
        resets: Marks | None = None,
    ) -> Array | list[Array] | tuple[Array | list[Array], StateT]: ...

    def predict(
        self,
        x: Sequences,
        h0: StateLike | None = None,
        return_state: bool = False,
        lengths: npt.ArrayLike | None = None,
        skip: Marks | None = None,
        resets: Marks | None = None,
    ) -> Array | list[Array] | tuple[Array | list[Array], StateT]:
        """Return the outputs for sequences, without keeping a tape.

        Parameters
        ----------
        x : array (batch, time, inputs) or (time, inputs); with categories (batch, time) or (time,)
            Or a list of arrays of different lengths, each of one sequence.
        h0 : array (batch, hidden), or (hidden,) for one sequence; optional
            The states to start from, as in `forward`.
        return_state : bool
            Whether to return the last states too, from which a later call can go on.
        lengths : array of int (batch,), optional
            Steps of each sequence; without it all of them.
        skip : array of bool (batch, time), or a list of arrays (time_i,); optional
            Steps that are not read, as in `forward`; for one sequence (time,).
        resets : array of bool (batch, time), or a list of arrays (time_i,); optional
            Steps before which a new sequence begins, as in `forward`; for one sequence (time,).

        Returns
        -------
        y : array (batch, time, outputs) or (time, outputs)
            Zero past a sequence's end. Without `return_sequences` (batch, outputs) or (outputs,).
            For a list a list of arrays (time_i, outputs).
        h_n : array of the shape of h0; for an LSTM the pair (h, c)
            Only with `return_state`.

        Raises
        ------
        ValueError, TypeError
            A shape, dtype or value does not fit.
        """
        if return_state is not False:
            return_state = checks.boolean("return_state", return_state)
        network = self._network
        if sequences.is_ragged(x):
            checked_list, skips, restarts = sequences.ragged_sequences(
                network, x, lengths, skip, resets, may_be_empty=True
            )
            if h0 is not None:
                h0 = sequences.states(network, "h0", h0, len(checked_list), single=False)
            outputs, states = network.predict_list(checked_list, h0, skips, restarts)
            if not return_state:
                return outputs
            last: StateT = self.architecture.public_states(states, single=False)
            return outputs, last
        checked, start, ends, skipped, restarted, single = sequences.sequences(
            network, x, h0, lengths, skip, resets, may_be_empty=True
        )
        h_n = network.empty_states(len(checked)) if return_state else None
        y = network.predict(checked, start, h_n, ends, skipped, restarted)
        if single:
            y = y[0]
        if h_n is None:
            return y
        state: StateT = self.architecture.public_states(h_n, single=single)
        return y, state

    def stream(self, batch_size: int | None = None) -> Stream[StateT]:
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
            state, for an LSTM the pair (h, c), starts at zero or at the trained h0.

        Raises
        ------
        ValueError, TypeError
            The batch size is no whole number of at least 1, or the network is bidirectional.

        Examples
        --------
        >>> import crnn
        >>> net = crnn.RNN(input_size=2, hidden_size=8, output_size=1, seed=0)
        >>> stream = net.stream()
        >>> stream.step([0.1, 0.2]).shape
        (1,)
        """
        if self.bidirectional:
            raise ValueError(
                "stream: expected a network that reads in one direction, got bidirectional=True"
            )
        if batch_size is not None:
            batch_size = checks.integer("batch_size", batch_size, at_least=1)
        stream: Stream[StateT] = make_stream(self._network, batch_size)
        return stream

    def trainer(
        self,
        optimizer: Optimizer,
        loss: LossLike = "mse",
        clip_norm: float | None = None,
        clip_value: float | None = None,
        *,
        time: int,
        batch_size: int = 1,
        constraints: ConstraintsLike | None = None,
    ) -> Trainer:
        """Return a trainer: a copy of the network that learns from batches of one size.

        C and Cython step it without the GIL and without allocations, such as for a controller that
        predicts, acts and learns. `Trainer.sync` writes what it has learned to this network.

        Parameters
        ----------
        optimizer : Optimizer
            As in `train_step`, with a number as its learning rate. Its state is copied.
        loss : {"mse", "sse", "cross_entropy"}
            "cross_entropy" takes classes (batch, time).
        clip_norm, clip_value : float, optional
            As in `train_step`.
        time : int
            Time steps of a batch, whose sequences start from zero.
        batch_size : int, default 1
            Sequences of a batch.
        constraints : dict, optional
            As in `fit`.

        Returns
        -------
        Trainer
            With ``train_step(x, y)``, ``predict(x)``, ``flat_params``, ``lr`` and ``sync()``.

        Raises
        ------
        ValueError, TypeError
            An argument does not fit, or the network has several layers or directions, trained first
            states, categories as inputs or return_sequences=False.

        Examples
        --------
        >>> import crnn, numpy as np
        >>> net = crnn.RNN(input_size=2, hidden_size=8, output_size=1, seed=0)
        >>> trainer = net.trainer(crnn.SGD(0.1), time=20)
        >>> x, y = np.ones((20, 2)), np.zeros((20, 1))
        >>> losses = [trainer.train_step(x, y) for _ in range(50)]
        >>> trainer.sync()
        >>> bool(net.loss(x, y) < losses[0])
        True
        """
        checked_loss = get_loss(loss)
        clipping = Clipping.checked(clip_norm, clip_value)
        self._check_optimizer(optimizer)
        time = checks.integer("time", time, at_least=1)
        batch_size = checks.integer("batch_size", batch_size, at_least=1)
        if not step.can_train_in_one_call(self._network, optimizer, checked_loss):
            raise ValueError(
                "trainer: expected a network of one layer in one direction with an output for each "
                'step, first states of zero, no categories and no noise, the loss "mse", "sse" or '
                f'"cross_entropy", and an optimizer of crnn; got {self!r}, {loss!r}, {optimizer!r}'
            )
        if callable(optimizer.lr):
            raise TypeError(
                "optimizer: expected one with a number as its learning rate, got one with a "
                "function; the trainer's lr may be assigned to between steps"
            )
        limits = optimizer.limits_for(self._network, constraints)
        return Trainer(self._network, optimizer, checked_loss, clipping, time, batch_size, limits)

    def learner(
        self,
        optimizer: Optimizer,
        *,
        loss: LossLike = "mse",
        clip_norm: float | None = None,
        clip_value: float | None = None,
        batch_size: int | None = None,
        constraints: ConstraintsLike | None = None,
    ) -> Learner[StateT]:
        """Return a learner: it predicts each step as it comes, then learns from it, in place.

        The gradient is that of real-time recurrent learning (Williams and Zipser 1989): exact back
        to the first step, in the same time and memory at each step. A step of an RNN takes H^2 n
        multiply-adds a sequence and twice H n numbers of memory, with H the hidden size and n the
        size of W_xh, W_hh and b_h; that of an LSTM twice as many.

        Parameters
        ----------
        optimizer : Optimizer
            As in `train_step`.
        loss : str or object
            Of one step: "mse", "sse", "cross_entropy", "binary_cross_entropy", "huber" or the same
            of `crnn.losses`.
        clip_norm, clip_value : float, optional
            As in `train_step`.
        batch_size : int, optional
            How many sequences go side by side, whose losses count together. Without it there is
            one, and arrays have no batch axis.
        constraints : dict, optional
            As in `fit`. A learner with constraints cannot be saved.

        Returns
        -------
        Learner
            With ``step(x, y)``, ``predict(x)``, ``reset()``, ``stream()``, ``state`` and ``save``.

        Raises
        ------
        ValueError, TypeError
            An argument does not fit, or the network has several layers or directions, trained first
            states, or more than 64 hidden units.

        Examples
        --------
        >>> import crnn, numpy as np
        >>> net = crnn.RNN(input_size=1, hidden_size=8, output_size=1, seed=0)
        >>> learner = net.learner(crnn.SGD(0.03), clip_norm=1.0)
        >>> wave, losses = np.sin(0.3 * np.arange(1000)), []
        >>> for now, after in zip(wave[:-1], wave[1:]):
        ...     forecast = learner.step([now], [after])
        ...     losses.append(learner.last_loss)
        >>> bool(np.mean(losses[-50:]) < 0.1 * np.mean(losses[:50]))
        True
        """
        checked_loss = get_loss(loss)
        clipping = Clipping.checked(clip_norm, clip_value)
        self._check_optimizer(optimizer)
        if batch_size is not None:
            batch_size = checks.integer("batch_size", batch_size, at_least=1)
        check_learnable(self.architecture, self.dtype, optimizer, checked_loss)
        limits = optimizer.limits_for(self._network, constraints)
        return Learner(self, self._network, optimizer, checked_loss, clipping, batch_size, limits)

    def forecast(self, x: npt.ArrayLike, steps: int) -> Array:
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
            A shape, dtype or value does not fit, or the network's outputs are no inputs for it.
        """
        steps = checks.integer("steps", steps, at_least=1)
        network, outputs = self._network, self.architecture.outputs
        if self.categorical:
            raise TypeError(
                "forecast: expected a network whose outputs are inputs too, got categorical=True"
            )
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
        checked, start, *_, single = sequences.sequences(network, x, nan_advice="")
        state = network.empty_states(len(checked))
        y = network.predict(checked, start, state)
        forecast = np.empty((len(y), steps, outputs), self.dtype)
        forecast[:, 0] = y[:, -1]
        for number in range(1, steps):
            y = network.predict(forecast[:, number - 1 : number], state.copy(), state)
            forecast[:, number] = y[:, 0]
        return forecast[0] if single else forecast

    def loss(
        self,
        x: Sequences,
        y: npt.ArrayLike | Sequence[npt.ArrayLike],
        loss: LossLike = "mse",
        lengths: npt.ArrayLike | None = None,
        mask: npt.ArrayLike | Sequence[npt.ArrayLike] | None = None,
        h0: StateLike | None = None,
        skip: Marks | None = None,
        resets: Marks | None = None,
    ) -> float:
        """Return the loss of the predictions for x.

        Parameters
        ----------
        x : array (batch, time, inputs) or (time, inputs); with categories (batch, time) or (time,)
            Or a list of arrays of different lengths, each of one sequence.
        y : array
            Targets of the shape of the outputs; for "cross_entropy" integer class numbers without
            the last axis. A list where x is one and there is an output for each step.
        loss : str or object
            "mse" (the mean of the squared errors), "sse" (half their sum), "cross_entropy" (the
            mean over all steps of -log softmax(y_hat)[y], in nats), "binary_cross_entropy",
            "huber"; a loss of `crnn.losses`; or an object with the methods `value` and `gradient`.
        lengths : array of int (batch,), optional
            Steps of each sequence; without it all of them. Later steps do not count.
        mask : array (batch, time), or a list of arrays (time_i,); optional
            The weight of each step, 1 without it; for one sequence (time,). Without
            `return_sequences` the weight of each sequence (batch,). Where it is 0 the target may
            hold anything, such as NaN or -100; losses and metrics do not see it.
        h0 : array (batch, hidden), or (hidden,) for one sequence; optional
            The states to start from, as in `forward`.
        skip : array of bool (batch, time), or a list of arrays (time_i,); optional
            Steps that are not read, as in `forward`; for one sequence (time,). Their outputs count
            in the loss, unless the mask says otherwise.
        resets : array of bool (batch, time), or a list of arrays (time_i,); optional
            Steps before which a new sequence begins, as in `forward`; for one sequence (time,).

        Returns
        -------
        float

        Raises
        ------
        ValueError, TypeError
            A shape, dtype or value does not fit, or there is no such loss.
        """
        checked_loss = get_loss(loss)
        dataset = sequences.dataset(
            self._network, x, y, checked_loss, lengths, mask, h0, skip, resets
        )
        return evaluation.evaluate(self._network, dataset, checked_loss, {})[0]

    def train_step(
        self,
        x: Sequences,
        y: npt.ArrayLike | Sequence[npt.ArrayLike],
        optimizer: Optimizer,
        loss: LossLike = "mse",
        clip_norm: float | None = None,
        clip_value: float | None = None,
        lengths: npt.ArrayLike | None = None,
        mask: npt.ArrayLike | Sequence[npt.ArrayLike] | None = None,
        h0: StateLike | None = None,
        skip: Marks | None = None,
        resets: Marks | None = None,
        *,
        constraints: ConstraintsLike | None = None,
    ) -> float:
        """Take one step of the optimizer on one batch.

        Parameters
        ----------
        x, y : array
            As in `loss`.
        optimizer : Optimizer
            `SGD`, `RMSprop`, `Adam` or `AdamW`: a new one, or one that has served this network
            only.
        loss : str or object
            As in `loss`.
        clip_norm : float, optional
            Scale the gradient down to this global norm where it is larger (Pascanu, Mikolov and
            Bengio 2013).
        clip_value : float, optional
            Clip each of its elements to ±clip_value; not with `clip_norm`.
        lengths, mask, h0, skip, resets : array, optional
            As in `loss`. A trainable h0 gets no gradient where h0 is given.
        constraints : dict, optional
            Constraints of `crnn.constraints` by the names of parameters, which meet them after the
            step. In a loop give them to the optimizer, which keeps what they are compiled to.

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
        checked_loss = get_loss(loss)
        clipping = Clipping.checked(clip_norm, clip_value)
        self._check_optimizer(optimizer)
        limits = optimizer.limits_for(self._network, constraints)
        parts = sequences.parts(self._network, x, y, checked_loss, lengths, mask, h0, skip, resets)
        value, _, _ = step.train_step(
            self._network, parts, optimizer, checked_loss, clipping, self._rng,
            constraints=limits,
        )  # fmt: skip
        return value

    @stopping_together
    def fit(
        self,
        x: Sequences,
        y: npt.ArrayLike | Sequence[npt.ArrayLike],
        *,
        epochs: int,
        batch_size: int = 32,
        optimizer: Optimizer | None = None,
        loss: LossLike = "mse",
        lengths: npt.ArrayLike | None = None,
        mask: npt.ArrayLike | Sequence[npt.ArrayLike] | None = None,
        h0: StateLike | None = None,
        skip: Marks | None = None,
        resets: Marks | None = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        constraints: ConstraintsLike | None = None,
        bptt: int | None = None,
        shuffle: bool = True,
        seed: int | None = None,
        validation_data: tuple[Sequences, npt.ArrayLike | Sequence[npt.ArrayLike]]
        | Mapping[str, Any]
        | None = None,
        validation_fraction: float | None = None,
        patience: int | None = None,
        monitor: str | tuple[str, str] | None = None,
        min_delta: float = 0.0,
        metrics: Sequence[str | Metric] = (),
        callbacks: Sequence[Callable[["RecurrentNetwork[StateT]", History], object]] = (),
        checkpoint: str | os.PathLike[str] | None = None,
        checkpoint_every: int = 1,
        resume: bool = False,
        progress: bool | None = None,
        comm: Communicator | None = None,
    ) -> History:
        """Train for some epochs of mini-batches.

        After Ctrl-C the network has the parameters of the last complete step, and so has the
        optimizer.

        Parameters
        ----------
        x, y : array
            As in `loss`.
        epochs : int
            Passes over the data.
        batch_size : int
            Sequences of a step; the last batch of an epoch may be smaller.
        optimizer : Optimizer, optional
            ``SGD(0.01, momentum=0.9)`` without it. With `LBFGS` all sequences make one batch, and
            `clip_norm`, `clip_value`, `bptt`, dropout and noise are refused.
        loss : str or object
        lengths, mask, h0, skip, resets : array, optional
            As in `train_step`: of all sequences.
        clip_norm, clip_value : float, optional
            As in `train_step`.
        constraints : dict, optional
            As in `train_step`. Parameters are brought within them before the first step.
        bptt : int, optional
            Truncated BPTT (Williams and Peng 1990): take a step of the optimizer every `bptt` time
            steps.
            The state goes on from one such chunk to the next and no gradient does, so long
            sequences need no more memory than short ones.
        shuffle : bool
            Whether each epoch takes the sequences in another order.
        seed : int or None, optional
            Seeds that order. Without it the network's own generator goes on, so the network's seed
            determines everything.
        validation_data : (x, y) or dict, optional
            Data whose loss is recorded after each epoch. A dictionary has the keys x and y and, as
            needed, lengths, mask, h0, skip and resets, all as in `loss`. Where `fit` has one of
            these, a pair is refused, because padding would count or states be others, unless it is
            one of lists of sequences and `fit` has lengths only.
        validation_fraction : float, optional
            The share of the sequences, the last ones as given, that are validation data and not
            trained on; at least one sequence. Not with `validation_data`.
        patience : int, optional
            Stop after `patience` epochs in a row without a better one. At the end the network gets
            the parameters of the best epoch, ``history.best_epoch``.
        monitor : str or (str, "max" or "min"), optional
            What decides which epoch is the best: "loss", "val_loss", or a metric by the name that
            the history has for it, such as "val_accuracy". Without it the loss of the validation
            data, or without them of the training data. The lowest loss and "mae" are the best, and
            the highest "accuracy"; a function's needs a pair such as ``("val_f1", "max")``.
        min_delta : float
            An epoch is better only by more than this.
        metrics : list of str or function
            What else to record after each epoch, for the validation data or without them for the
            training data: "accuracy" (with "cross_entropy" or "binary_cross_entropy"), "mae", or
            functions ``f(y_hat, y) -> float`` of all outputs and targets: (batch, time, outputs)
            where every step counts, else (steps, outputs) of those that do.
        callbacks : list of functions
            Called as ``f(net, history)`` after each epoch; if one returns True, training stops.
        checkpoint : path-like, optional
            A file for the state of the run after an epoch, replaced whole or not at all.
        checkpoint_every : int
            Write it every `checkpoint_every` epochs, and after the last.
        resume : bool
            Go on from the checkpoint if there is one. The run ends as if it had never been
            interrupted, to the bit on the same kind of processor. The arguments have to be those
            of the first run; epochs may be more, and the callbacks of the last epoch are called
            again.
        progress : bool, optional
            Whether to show a tqdm bar; by default where stderr is a terminal.
        comm : communicator of mpi4py, optional
            Its ranks train one network together: each calls `fit` with the same arguments, takes a
            part of every batch, and has the same parameters after every step. A rank reads,
            converts and checks only the sequences that it takes, so `x`, `y` and what goes with
            them may be memory maps, or lists of such. Rank 0 writes the checkpoint, which all read,
            and shows the bar. Callbacks are called on all ranks. See :doc:`/scaling`.

        Returns
        -------
        History
            With ``loss``, ``val_loss``, ``grad_norm``, ``lr`` and ``metrics``, one entry an epoch.

        Raises
        ------
        ValueError, TypeError
            An argument does not fit; the network is untouched.
        DivergenceError
            The loss, the gradient or a new parameter is not finite; the parameters are those before
            that step.
        ModelFileError
            The checkpoint is damaged, holds something else, or is of a run with other arguments;
            the network is untouched.
        OSError
            The checkpoint cannot be written or read.
        ImportError
            ``progress=True`` where tqdm is not installed.
        RuntimeError
            Another rank of `comm` has failed; the sentence says which one, and why.
        """
        ranks: Any = comm  # `stopping_together` has made `Ranks` of it
        checked_loss = get_loss(loss)
        clipping = Clipping.checked(clip_norm, clip_value)
        epochs = checks.integer("epochs", epochs, at_least=1)
        batch_size = checks.integer("batch_size", batch_size, at_least=1)
        shuffle = checks.boolean("shuffle", shuffle)
        if progress is not None:
            progress = checks.boolean("progress", progress)
        if optimizer is None:
            optimizer = SGD(0.01, momentum=0.9)
        self._check_optimizer(optimizer, may_search=True)
        limits = optimizer.limits_for(self._network, constraints)
        if optimizer.searches:
            self._check_search(optimizer, clipping, bptt, limits)
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
        if ranks is not None:
            self._check_parallel(optimizer, checked_loss)
        dataset = fit_arguments.maker_of_datasets(ranks)(
            self._network, x, y, checked_loss, lengths, mask, h0, skip, resets
        )
        if bptt is not None:
            dataset.check_time_axis()
        dataset, validation, checked_loss = fit_arguments.training_and_validation(
            self._network,
            dataset,
            checked_loss,
            validation_data,
            validation_fraction,
            {"lengths": lengths, "mask": mask, "h0": h0, "skip": skip, "resets": resets},
            ranks,
        )
        checked_metrics = get_metrics(metrics, checked_loss)
        controls = Controls(
            validation, checked_metrics, patience, fit_arguments.bound_callbacks(callbacks, self)
        )
        rng = self._rng if seed is None else checks.generator(seed)
        watched = fit_arguments.monitor_of(
            monitor, min_delta, better_values(checked_metrics), validation is not None
        )
        run = Run(self._network, optimizer, rng, watched)
        plan = Plan(batch_size, checked_loss, clipping, bptt, shuffle, limits)
        checkpoint_file = None
        if checkpoint is not None:
            # Imported here: the libraries for files take longer to import than crnn.
            from crnn._training import checkpoints

            settings = checkpoints.settings(run, plan, controls, len(dataset))
            checkpoint_file = checkpoints.Checkpoint(checkpoint, checkpoint_every, settings)
        return loop.fit(
            run,
            dataset,
            epochs=epochs,
            plan=plan,
            controls=controls,
            checkpoint=checkpoint_file,
            resume=resume,
            progress=progress,
            ranks=ranks,
        )

    def astype(self, dtype: npt.DTypeLike) -> Self:
        """Return a copy of the network with parameters of another dtype.

        Parameters
        ----------
        dtype : {"float32", "float64"}

        Returns
        -------
        RNN, GRU or LSTM
            Of this network's class.

        Raises
        ------
        ValueError
            There is no such dtype, or a parameter is too large for it.
        """
        wanted = contracts.float_dtype(dtype)
        if np.abs(self.flat_params).max() > np.finfo(wanted).max:
            raise ValueError(f"dtype: expected one that holds all parameters, got {wanted}")
        twin = copy.copy(self)
        twin._rng = copy.deepcopy(self._rng)
        twin._network = Network(self.architecture, wanted, self._network.kernels)
        with np.errstate(all="ignore"):
            twin._network.flat[...] = self.flat_params
        return twin

    def describe(self) -> dict[str, Any]:
        """Return the architecture and the dtype by name, as files keep them.

        Returns
        -------
        dict
            Of values that JSON can hold; `crnn.descriptions.from_description` takes it.
        """
        return {**self.architecture.describe(), "dtype": self.dtype.name}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the network to a file, which `crnn.load` reads.

        The file is written beside its place and moved there, so no crash leaves half of one. It is
        an .npz without pickles. The state of the network's random generator is not in it.

        Parameters
        ----------
        path : path-like
            An existing file is replaced.

        Raises
        ------
        OSError
            The file cannot be written; one that existed is as it was.
        """
        # Imported here: the libraries for files take longer to import than crnn.
        from crnn import archive

        header = {"format": f"crnn {NETWORK_KIND}", "version": NETWORK_VERSION}
        archive.write(path, header | self.describe(), {"parameters": self.flat_params})

    def _check_optimizer(self, optimizer: Optimizer, *, may_search: bool = False) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(
                "optimizer: expected one such as crnn.SGD or crnn.Adam, "
                f"got {type(optimizer).__name__}"
            )
        if optimizer.searches and not may_search:
            raise TypeError(
                "optimizer: expected one that takes a step for a gradient, such as crnn.SGD, got "
                f"{type(optimizer).__name__}, whose steps only `fit` takes"
            )
        optimizer.check_owner(self.flat_params)

    def _check_search(
        self,
        optimizer: Optimizer,
        clipping: Clipping,
        bptt: int | None,
        limits: Constraints | None,
    ) -> None:
        """Raise what an optimizer that searches does not go with."""
        name = type(optimizer).__name__
        others = {
            "clip_norm": clipping.norm,
            "clip_value": clipping.value,
            "bptt": bptt,
            "dropout": self.architecture.dropout or None,
            "noise": self.architecture.noise or None,
        }
        for other, value in others.items():
            if value is not None:
                raise ValueError(
                    f"{other}: expected none with {name}, which follows one loss and its gradient, "
                    f"got {value!r}"
                )
        if limits is not None and not (limits.l1 is None and limits.groups is None):
            raise ValueError(
                f"constraints: expected Mask, Sign, Bounds or NonNegative with {name}, "
                "got L1 or MaxNorm"
            )

    def _check_parallel(self, optimizer: Optimizer, loss: Loss) -> None:
        """Raise what several ranks do not do."""
        if optimizer.searches:
            raise ValueError(
                "optimizer: expected one that takes a step for a gradient with comm, such as "
                f"crnn.Adam, got {type(optimizer).__name__}"
            )
        if not loss.adds_up:
            raise ValueError(
                "loss: expected one that is a mean or a sum over the steps with comm, got "
                f"{loss!r}; an attribute is_mean says which"
            )


def _checked(architecture: Architecture) -> Architecture:
    """Return the architecture with its values converted, or raise what is wrong with one."""
    output_size = architecture.output_size
    if output_size is not None:
        output_size = checks.integer("output_size", output_size, at_least=1)
    checked = Architecture(
        checks.integer("input_size", architecture.input_size, at_least=1),
        checks.integer("hidden_size", architecture.hidden_size, at_least=1),
        output_size,
        checks.integer("num_layers", architecture.num_layers, at_least=1),
        checks.boolean("bidirectional", architecture.bidirectional),
        checks.number("dropout", architecture.dropout, at_least=0.0, below=1.0),
        checks.boolean("return_sequences", architecture.return_sequences),
        checks.boolean("trainable_h0", architecture.trainable_h0),
        architecture.cell,
        checks.boolean("categorical", architecture.categorical),
        checks.number("noise", architecture.noise, at_least=0.0),
    )
    if checked.dropout and checked.num_layers == 1:
        raise ValueError(
            "dropout: expected 0 with one layer, because it acts between layers, "
            f"got {checked.dropout}"
        )
    return checked
