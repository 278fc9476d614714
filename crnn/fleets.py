"""Fleets: many networks of one architecture, trained and run side by side."""

import copy
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from crnn import checks, jobs
from crnn._inputs import fit_arguments, fleet_data
from crnn._inputs.fleet_arguments import number_for_each, orders_for_each, seeds_of
from crnn._network.architecture import Architecture
from crnn._network.initializers import initialize
from crnn._network.network import Network
from crnn._training.fleets import shares
from crnn._training.fleets import step as fleet_step
from crnn._training.fleets.data import FleetData
from crnn._training.fleets.history import FleetHistory, Progress
from crnn._training.fleets.loop import FleetPlan, run_epochs
from crnn._training.progress import ProgressBar
from crnn._training.run import Clipping, asks_to_stop
from crnn._training.step import divergence
from crnn._typing import Array, FloatArray, IntArray
from crnn.base import RecurrentNetwork
from crnn.constraints import ConstraintsLike
from crnn.descriptions import check_description, from_description
from crnn.errors import ModelFileError
from crnn.kernels import cells
from crnn.kernels.constraints import Constraints
from crnn.losses import Loss, get_loss
from crnn.networks import GRU, LSTM, RNN, from_architecture
from crnn.optimizers import SGD, Optimizer

if TYPE_CHECKING:
    from crnn.archive import Shapes

__all__ = ["Fleet", "FleetHistory"]

FLEET_KIND, FLEET_VERSION = "fleet", 1
"""The kind and the version of the files that `Fleet.save` writes."""

MOST_NAMED = 5
"""More models would make a warning longer than anyone reads."""


class _OptimizerState:
    """The vectors (N, P) of an optimizer and its steps (N,), one row for each model of a fleet."""

    def __init__(self, optimizer: Optimizer, theta: Array) -> None:
        self.kernel, self.memory, numbers = optimizer.kernel_arguments(theta, {})
        # Each model has a weight decay of its own.
        self.settings = {name: value for name, value in numbers.items() if name != "weight_decay"}
        self.steps = np.zeros(len(theta), np.intp)


class Fleet:
    """Many networks of one architecture, trained and run side by side.

    Each model is one network: what becomes of it depends neither on how many there are nor on the
    others, to the bit. Models of up to 16 hidden units share SIMD registers, a lane each, so that
    networks of two units run as fast as the processor multiplies. Of larger ones, threads take one
    at a time.

    Data are shared by all models, or each model has its own:

    - arrays (time, features) or (batch, time, features) are shared,
    - arrays (models, batch, time, features) are each model's own,
    - a list has a data set for each model: an array, or a list of arrays (time_i, features).

    Parameters
    ----------
    network : RNN, GRU, LSTM or Architecture
        Of the architecture of all models: one layer in one direction that reads features, with an
        output for each step and first states of zero. Its parameters are not used, its dtype and
        implementation are.
    n : int, optional
        The number of models; without it that of the seeds.
    seed : int or list of int (n,), default 0
        An int: seeds of all models are drawn from it, the first ones alike for any n. A list: a
        seed for each.
    init : {"orthogonal", "uniform"}
        As in `RNN`.
    dtype : {"float32", "float64"}, optional
        Without it the network's, or float32 for an `Architecture`.
    implementation : {"native", "python"}, optional
        Without it the network's, or as in `RNN`.

    Attributes
    ----------
    flat_params : array (n, p)
        The parameters of each model: row i is ``fleet[i].flat_params``.
    seeds : array (n,) of uint64
        ``crnn.GRU(..., seed=int(fleet.seeds[i]))`` has the first parameters of model i.
    history : FleetHistory or None
        That of the last `fit`.

    Raises
    ------
    ValueError, TypeError
        An argument does not fit, or fleets have no networks of this architecture.

    Examples
    --------
    >>> import crnn, numpy as np
    >>> fleet = crnn.Fleet(crnn.GRU(3, 2, 2), n=100, seed=0)
    >>> x, y = np.zeros((8, 50, 3)), np.zeros((8, 50, 2))
    >>> history = fleet.fit(x, y, epochs=2, lr=np.linspace(0.001, 0.1, 100))
    >>> history.loss.shape, fleet.predict(x).shape, fleet[fleet.best(3)]
    ((2, 100), (100, 8, 50, 2), Fleet(GRU(input_size=3, hidden_size=2, output_size=2), n=3))
    """

    def __init__(
        self,
        network: RecurrentNetwork[Any] | Architecture,
        n: int | None = None,
        seed: int | Sequence[int] | IntArray = 0,
        *,
        init: str = "orthogonal",
        dtype: npt.DTypeLike | None = None,
        implementation: str | None = None,
    ) -> None:
        leaks = {}
        if isinstance(network, RecurrentNetwork):
            leaks = {name: v for name, v in network.params.items() if name.startswith("leak")}
            dtype = network.dtype if dtype is None else dtype
            implementation = implementation or network.implementation
            network = network.architecture
        elif not isinstance(network, Architecture):
            raise TypeError(
                f"network: expected a network or its architecture, got {type(network).__name__}"
            )
        template = from_architecture(
            network,
            dtype="float32" if dtype is None else dtype,
            seed=0,
            init=init,
            implementation=implementation,
        )
        for name, values in leaks.items():
            template.params[name][...] = values
        _check_template(template)
        seeds = seeds_of(n, seed)
        architecture = template.architecture
        # With biases and leaks of the template, which do not depend on the seed
        theta = np.tile(template.flat_params, (len(seeds), 1))
        weights, first = {}, 0
        for name, view in template.params.items():
            of_all = theta[:, first : first + view.size]
            weights[name] = of_all.reshape(len(seeds), *view.shape)
            first += view.size
        rngs = map(np.random.default_rng, seeds.tolist())
        initialize(weights, architecture.hidden_size, init, rngs)
        self._hold(template, theta, seeds)

    def _hold(self, template: RNN | GRU | LSTM, theta: Array, seeds: npt.NDArray[Any]) -> None:
        self._template = template
        self._theta = theta
        self.seeds = seeds
        self.history: FleetHistory | None = None
        self._states: WeakKeyDictionary[Optimizer, _OptimizerState] = WeakKeyDictionary()

    @property
    def flat_params(self) -> Array:
        """The parameters (n, p) of all models."""
        return self._theta

    @property
    def architecture(self) -> Architecture:
        """The sizes and options of each model."""
        return self._template.architecture

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of all parameters and results."""
        return self._template.dtype

    @property
    def implementation(self) -> str:
        """Which kernels run: "native" or "python"."""
        return self._template.implementation

    def __len__(self) -> int:
        return len(self._theta)

    def __iter__(self) -> Iterator[RNN | GRU | LSTM]:
        return (self[number] for number in range(len(self)))

    @overload
    def __getitem__(self, which: int) -> RNN | GRU | LSTM: ...

    @overload
    def __getitem__(self, which: slice | Sequence[int] | npt.NDArray[Any]) -> "Fleet": ...

    def __getitem__(self, which: Any) -> "RNN | GRU | LSTM | Fleet":
        """Return a model or a fleet of some.

        Parameters
        ----------
        which : int, slice, list of int, or array of ints or bools
            An int: the network, which shares its row of `flat_params`. A slice of step 1: a fleet
            that shares its rows. Anything else: a fleet with a copy of these rows.

        Returns
        -------
        RNN, GRU, LSTM or Fleet
        """
        if isinstance(which, (int, np.integer)) and not isinstance(which, (bool, np.bool_)):
            number = int(which)
            if not -len(self) <= number < len(self):
                raise IndexError(f"model: expected a number below {len(self)}, got {number}")
            twin = copy.copy(self._template)
            twin._rng = np.random.default_rng(int(self.seeds[number]))
            twin._network = Network(
                self.architecture, self.dtype, self._template._network.kernels, self._theta[number]
            )
            return twin
        if not isinstance(which, slice):
            which = np.asarray(which)
            if which.shape == (0,):
                which = which.astype(np.intp)
            if which.dtype.kind not in "iub" or which.ndim != 1:
                raise TypeError(f"models: expected ints or bools in a row, got {which!r}")
        theta, seeds = self._theta[which], self.seeds[which]
        if isinstance(which, slice) and which.step not in (None, 1):
            theta = theta.copy()
        if not len(theta):
            raise IndexError("models: expected at least one, got none")
        twin_fleet = copy.copy(self)
        twin_fleet._hold(self._template, np.ascontiguousarray(theta), np.array(seeds))
        return twin_fleet

    def __repr__(self) -> str:
        first = self[0]
        arguments = repr(first).partition(", dtype=")[0]
        if self.architecture.has_leak:
            leaks = self._theta[:, self._leak_places()]
            if (leaks != leaks[0]).any():
                of_first = f"leak={first._cell_arguments()['leak']!r}"
                of_all = f"leak={leaks.min():.4g} to {leaks.max():.4g}"
                arguments = arguments.replace(of_first, of_all, 1)
        return f"Fleet({arguments}), n={len(self)})"

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_states"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._states = WeakKeyDictionary()

    def predict(self, x: Any, lengths: npt.ArrayLike | None = None) -> Any:
        """Return the outputs of all models.

        Parameters
        ----------
        x : array or list
            Inputs, shared or each model's own.
        lengths : array of int (batch,) or (models, batch), optional
            Steps of each sequence of an array; without it all of them.

        Returns
        -------
        array (models, batch, time, outputs)
            For an x (time, inputs): (models, time, outputs). For a list: a list of each model's
            outputs in the form of its inputs. Zero past a sequence's end.

        Raises
        ------
        ValueError, TypeError
            A shape, dtype or value does not fit, of any model.
        """
        checked = fleet_data.inputs(self._template._network, len(self), x, lengths)
        y = fleet_step.outputs_of(
            self._template._network.kernels, self.architecture, self._theta, checked.data,
            shared=checked.is_shared,
        )  # fmt: skip
        return checked.arranged(y)

    def loss(
        self,
        x: Any,
        y: Any,
        loss: str | Loss = "mse",
        lengths: npt.ArrayLike | None = None,
        mask: Any = None,
    ) -> FloatArray:
        """Return the loss of each model.

        Parameters
        ----------
        x, y : array or list
            Inputs and targets, each shared or each model's own; both lists, or none.
        loss : str or object
            As in `RNN.loss`, but for a user's own, class weights and label smoothing.
        lengths : array of int (batch,) or (models, batch), optional
            As in `predict`.
        mask : array (batch, time) or (models, batch, time), or list, optional
            The weight of each step in the loss, as in `RNN.loss`.

        Returns
        -------
        array (models,) of float64
            NaN for a model whose data do not fit, which a warning names.

        Raises
        ------
        ValueError, TypeError
            A shape or dtype does not fit.
        """
        checked_loss = _checked_loss(loss)
        data = self._training_data(x, y, checked_loss, lengths, mask)
        _warn("their data do not fit", data.bad)
        return fleet_step.losses_of(
            self._template._network.kernels, self.architecture, self._theta, data, checked_loss
        )

    def train_step(
        self,
        x: Any,
        y: Any,
        optimizer: Optimizer,
        loss: str | Loss = "mse",
        clip_norm: float | None = None,
        clip_value: float | None = None,
        lengths: npt.ArrayLike | None = None,
        mask: Any = None,
        *,
        lr: npt.ArrayLike | None = None,
        weight_decay: npt.ArrayLike | None = None,
        l1: npt.ArrayLike | None = None,
        constraints: ConstraintsLike | None = None,
    ) -> FloatArray:
        """Take one step of the optimizer for each model, on one batch.

        A model takes its step as a whole or not at all: not where its data do not fit, or its loss,
        gradient or new parameters are not finite. A warning names such models, and the others take
        theirs.

        Parameters
        ----------
        x, y : array or list
            As in `loss`.
        optimizer : Optimizer
            `SGD`, `RMSprop`, `Adam` or `AdamW`; it keeps a state for each model of this fleet.
        loss : str or Loss
            As in `loss`.
        clip_norm, clip_value : float, optional
            As in `RNN.train_step`, of each model's gradient.
        lengths, mask : array, optional
            As in `loss`.
        lr, weight_decay, l1 : float or array (models,), optional
            As in `fit`.
        constraints : dict, optional
            As in `RNN.train_step`, of all models.

        Returns
        -------
        array (models,) of float64
            The loss of each model before the step; NaN where its data do not fit.

        Raises
        ------
        ValueError, TypeError
            An argument does not fit; all models are untouched.
        """
        checked_loss = _checked_loss(loss)
        step, models, rates = self._start(
            optimizer, checked_loss, Clipping.checked(clip_norm, clip_value), lr, weight_decay, l1,
            constraints,
        )  # fmt: skip
        data = self._training_data(x, y, checked_loss, lengths, mask)
        _warn("their data do not fit", data.bad)
        rates_now = rates.of(np.arange(len(self)), models.steps)
        losses, norms, taken = fleet_step.take_steps(step, models, data, rates_now)
        failed = [n for n in np.flatnonzero(~taken).tolist() if n not in data.bad]
        _warn(
            "their steps were not taken",
            {
                n: str(divergence(losses[n], norms[n], None, int(models.steps[n]) + 1))
                for n in failed
            },
        )
        return losses

    def fit(
        self,
        x: Any,
        y: Any,
        *,
        epochs: int,
        batch_size: int = 32,
        optimizer: Optimizer | None = None,
        lr: npt.ArrayLike | None = None,
        weight_decay: npt.ArrayLike | None = None,
        l1: npt.ArrayLike | None = None,
        loss: str | Loss = "mse",
        lengths: npt.ArrayLike | None = None,
        mask: Any = None,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        constraints: ConstraintsLike | None = None,
        shuffle: bool = True,
        seed: "int | Sequence[int | np.random.Generator] | IntArray | None" = None,
        validation_data: tuple[Any, Any] | Mapping[str, Any] | None = None,
        validation_fraction: float | None = None,
        patience: int | None = None,
        monitor: str | None = None,
        min_delta: float = 0.0,
        callbacks: Sequence[Callable[["Fleet", FleetHistory], object]] = (),
        progress: bool | None = None,
        n_jobs: int | None = None,
    ) -> FleetHistory:
        """Train each model for some epochs of mini-batches.

        A model that has stopped, by `patience` or because a step was not finite, takes no more
        time. Each gets what `RNN.fit` gives it alone, to rounding.

        Parameters
        ----------
        x, y : array or list
            As in `loss`: all sequences. A model whose numbers do not fit is not trained; a warning
            and ``history.errors`` say why.
        epochs, batch_size : int
            As in `RNN.fit`.
        optimizer : Optimizer, optional
            ``SGD(0.01, momentum=0.9)`` without it. It keeps a state for each model of this fleet.
        lr : float or array (models,), optional
            The learning rate of each model; without it the optimizer's.
        weight_decay : float or array (models,), optional
            That of each model; without it the optimizer's.
        l1 : float or array (models,), optional
            The strength of the penalty ``l1 * |w|`` on all weights; biases have none. Each step of
            the optimizer is followed by a proximal step (Parikh and Boyd 2014, "Proximal
            algorithms"): weights move towards zero by ``lr * l1``, and become zero where they would
            cross it. Losses are without the penalty.
        loss : str or Loss
            As in `loss`.
        lengths, mask : array, optional
            As in `loss`.
        clip_norm, clip_value : float, optional
            As in `RNN.fit`, of each model's gradient.
        constraints : dict, optional
            As in `RNN.fit`, of all models.
        shuffle : bool
            Whether each epoch takes the sequences of a model in another order. Those of a model
            that has no more than `batch_size` keep theirs, because they make one batch.
        seed : int, list of int or numpy Generator (models,), or None, optional
            Seeds these orders: of each model, or all alike. Without it `seeds`.
        validation_data : (x, y) or dict, optional
            Data whose loss is recorded after each epoch, in any of the forms of x and y. A
            dictionary has the keys x and y and, as needed, lengths and mask; where `fit` has one of
            these, a pair is refused.
        validation_fraction : float, optional
            The share of each model's sequences, the last ones as given, that are validation data
            and not trained on; at least one sequence. Not with `validation_data`.
        patience : int, optional
            A model stops after so many epochs in a row without a better one, and gets the
            parameters of its best epoch.
        monitor : {"loss", "val_loss"}, optional
            What decides which epoch is the best. Without it the loss of the validation data, or
            without them of the training data.
        min_delta : float
            An epoch is better only by more than this.
        callbacks : list of functions
            Called as ``f(fleet, history)`` after each epoch; if one returns True, training stops.
        progress : bool, optional
            Whether to show a tqdm bar; by default where stderr is a terminal.
        n_jobs : int, optional
            The number of workers, as in `crnn.jobs.count_workers`: processes of this machine, or by
            ``joblib.parallel_config`` those of a cluster. Each trains some of the models, with the
            same bits. The models change only when all workers have succeeded, and `callbacks` are
            refused.

        Returns
        -------
        FleetHistory
            Also in `history`.

        Raises
        ------
        ValueError, TypeError
            An argument does not fit; all models are untouched.
        ImportError
            ``progress=True`` where tqdm is not installed, or `n_jobs` where joblib is not.
        RuntimeError
            A worker has ended from outside, and the engine has not started it again; all models are
            untouched.
        """
        N = len(self)
        checked_loss = _checked_loss(loss)
        clipping = Clipping.checked(clip_norm, clip_value)
        epochs = checks.integer("epochs", epochs, at_least=1)
        batch_size = checks.integer("batch_size", batch_size, at_least=1)
        shuffle = checks.boolean("shuffle", shuffle)
        if patience is not None:
            patience = checks.integer("patience", patience, at_least=1)
        if progress is not None:
            progress = checks.boolean("progress", progress)
        bound_callbacks = fit_arguments.bound_callbacks(callbacks, self)
        workers = jobs.count_workers(n_jobs)
        if workers > 1 and bound_callbacks:
            raise ValueError(
                f"callbacks: expected none with {workers} workers, which train models to the end, "
                f"got {len(bound_callbacks)}"
            )
        if optimizer is None:
            optimizer = SGD(0.01, momentum=0.9)
        step, models, rates = self._start(
            optimizer, checked_loss, clipping, lr, weight_decay, l1, constraints
        )
        data = self._training_data(x, y, checked_loss, lengths, mask)
        data, validation = self._training_and_validation(
            data, validation_data, validation_fraction, checked_loss, lengths, mask
        )
        watched = fit_arguments.monitor_of(monitor, min_delta, {}, validation is not None)
        if watched.is_highest:
            raise ValueError(f"monitor: expected a loss, whose lowest is the best, got {monitor!r}")
        errors = dict(data.bad)
        for number, sentence in ({} if validation is None else validation.bad).items():
            errors.setdefault(number, f"validation data: {sentence}")
        orders = self.seeds.tolist() if seed is None else orders_for_each(seed, N)
        if not shuffle or int((data.lengths > 0).sum(axis=1).max(initial=0)) <= batch_size:
            orders = None
        run = Progress.empty(epochs, N, errors)
        settings: dict[str, Array] = {
            "seed": self.seeds, "lr": rates.of(np.arange(N), models.steps),
            "weight_decay": models.weight_decay,
            "l1": np.zeros(N) if models.l1 is None else models.l1,
        }  # fmt: skip
        _warn("their data do not fit", errors)
        known = set(errors)
        plan = FleetPlan(
            epochs, batch_size, validation, patience, watched.min_delta,
            watched.name == "val_loss", rates,
        )  # fmt: skip
        last_epoch = 0
        if workers > 1:
            bar = ProgressBar(progress, N, 0, unit="model")
        else:
            bar = ProgressBar(progress, epochs, int((data.lengths > 0).sum()))

        def after_task(count: int, total: int) -> None:
            bar.advance(count * N // total)

        def after_epoch(epoch: int) -> bool:
            nonlocal last_epoch
            last_epoch = epoch
            bar.show_losses(
                epoch, {"loss": run.loss[epoch - 1], "val_loss": run.val_loss[epoch - 1]}
            )
            history = FleetHistory(run, settings, epoch)
            return asks_to_stop([callback(history) for callback in bound_callbacks])

        try:
            bar.start(0)
            if workers > 1:
                parts = shares.shares_of(N, self.architecture.hidden_size, workers)
                tasks = [shares.task(step, models, data, orders, plan, part) for part in parts]
                results = jobs.run(shares.train, tasks, n_jobs, after_task=after_task)
                for part, trained in zip(parts, results, strict=True):
                    shares.put(trained, part, models, run, orders)
                last_epoch = max(trained.epochs for trained in results)
            else:
                rngs = None if orders is None else [np.random.default_rng(one) for one in orders]
                run_epochs(step, models, data, rngs, plan, run, after_epoch)
        finally:
            bar.close()
        self.history = FleetHistory(run, settings, last_epoch)
        _warn("they stopped", {n: why for n, why in errors.items() if n not in known})
        return self.history

    def best(self, k: int = 1) -> IntArray:
        """Return the numbers of the k best models of the last `fit`, the best first.

        Parameters
        ----------
        k : int

        Returns
        -------
        array (k,)
            ``fleet[fleet.best(3)]`` is a fleet of these; see `FleetHistory.best`.

        Raises
        ------
        ValueError
            There was no `fit`.
        """
        if self.history is None:
            raise ValueError("best: expected a fleet that fit has trained, got one without history")
        return self.history.best(k)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fleet to a file, which `crnn.load` reads.

        Written as `RNN.save` does it: whole or not at all. The history is not in it.

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

        header = {"format": f"crnn {FLEET_KIND}", "version": FLEET_VERSION, "models": len(self)}
        archive.write(
            path,
            header | self._template.describe(),
            {"parameters": self._theta, "seeds": self.seeds},
        )

    def _training_data(self, x: Any, y: Any, loss: Loss, lengths: Any, mask: Any) -> FleetData:
        network = self._template._network
        return fleet_data.training_data(network, len(self), x, y, loss, lengths, mask)

    def _training_and_validation(
        self,
        data: FleetData,
        validation_data: Any,
        fraction: float | None,
        loss: Loss,
        lengths: Any,
        mask: Any,
    ) -> tuple[FleetData, FleetData | None]:
        """Return the data that are trained on, and the validation data if there are any."""
        fraction = fit_arguments.checked_fraction(fraction, validation_data)
        if fraction is not None:
            return data.split(fraction)
        if validation_data is None:
            return data, None
        held = fit_arguments.validation_parts(validation_data, {"lengths": lengths, "mask": mask})
        with checks.within("validation_data"):
            validation = self._training_data(
                held["x"], held["y"], loss, held.get("lengths"), held.get("mask")
            )
        return data, validation

    def _start(
        self,
        optimizer: Optimizer,
        loss: Loss,
        clipping: Clipping,
        lr: Any,
        weight_decay: Any,
        l1: Any,
        constraints: ConstraintsLike | None,
    ) -> tuple[fleet_step.FleetStep, fleet_step.Models, fleet_step.Rates]:
        """Return what steps take: what all models share, their state, and their learning rates."""
        N = len(self)
        if not isinstance(optimizer, Optimizer) or not optimizer.is_fused:
            raise TypeError(
                "optimizer: expected SGD, RMSprop, Adam or AdamW for a fleet, "
                f"got {type(optimizer).__name__}"
            )
        if optimizer.steps:
            raise ValueError(
                "optimizer: expected one that is new or belongs to this fleet, got one that "
                "belongs to a network"
            )
        decay = number_for_each("weight_decay", optimizer.weight_decay, weight_decay, N)
        penalty = None if l1 is None else number_for_each("l1", 0.0, l1, N)
        if lr is not None or not callable(optimizer.lr):
            default = 0.0 if callable(optimizer.lr) else optimizer.lr
            rates = fleet_step.Rates(number_for_each("lr", default, lr, N), None)
        else:
            rates = fleet_step.Rates(None, optimizer.lr)
        network = self._template._network
        limits = self._limits(optimizer, constraints, decay)
        if penalty is not None:
            limits = limits or Constraints()
            if limits.l1 is not None:
                raise ValueError("l1: expected none beside L1 among the constraints, got one")
            limits = limits._replace(l1=self._l1_of_weights())
        state = self._states.get(optimizer)
        if state is None:
            state = self._states[optimizer] = _OptimizerState(optimizer, self._theta)
        step = fleet_step.FleetStep(
            network.kernels, self.architecture, loss, clipping, state.kernel, state.settings,
            limits,
        )  # fmt: skip
        models = fleet_step.Models(self._theta, state.memory, state.steps, decay, penalty)
        return step, models, rates

    def _limits(
        self, optimizer: Optimizer, constraints: ConstraintsLike | None, decay: FloatArray
    ) -> Constraints | None:
        """Return what steps with these weight decays keep the parameters of all models within."""
        network = self._template._network
        if not self.architecture.has_leak or self.architecture.trains_leak:
            return optimizer.limits_for(network, constraints)
        # A fixed leak stays as it is now.
        leaks = self._leak_places()
        of_models = self._theta[:, leaks]
        network.params["leak"][...] = of_models[0]
        limits = optimizer.limits_for(network, constraints)
        if (of_models == of_models[0]).all():
            return limits
        if decay.any():
            raise ValueError(
                "weight_decay: expected 0 for models with different fixed leaks, got "
                f"{decay.max():g}"
            )
        assert limits is not None
        # Without limits and a penalty a gradient of zero leaves each model's as it is.
        free = {"lower": -np.inf, "upper": np.inf, "l1": 0}
        parts = limits._asdict()
        for name, value in free.items():
            if parts[name] is not None:
                # A copy: the optimizer keeps what its constraints are compiled to.
                parts[name] = parts[name].copy()
                parts[name][leaks] = value
        return Constraints(**parts)

    def _leak_places(self) -> IntArray:
        """Return where leaks are among the parameters of a model."""
        places = np.arange(self._theta.shape[1])
        leaks: IntArray = cells.views(places, self.architecture.parameter_shapes())["leak"]
        return leaks

    def _l1_of_weights(self) -> Array:
        """Return the strengths (p,) of a penalty of 1 on all weights, which biases are not."""
        strengths: Array = np.zeros_like(self._theta[0])
        for name, values in cells.views(strengths, self.architecture.parameter_shapes()).items():
            values[...] = name.startswith("W_")
        return strengths


def check_file(description: dict[str, Any]) -> "Shapes":
    """Return the dtypes and shapes of the arrays that belong to the description of a file.

    Parameters
    ----------
    description : dict

    Returns
    -------
    dict

    Raises
    ------
    ModelFileError
        It is none that `Fleet.save` writes.
    """
    from crnn import archive

    dtype, shape = check_description(description)["parameters"]
    archive.check_fields(description, {"models": archive.whole_number(1)})
    if description["num_layers"] != 1:
        # Each of many would take a kilobyte, and some bytes in a file.
        raise ModelFileError(f"num_layers: expected 1, got {description['num_layers']}")
    n = description["models"]
    return {"parameters": (dtype, (n, *shape)), "seeds": (np.dtype(np.uint64), (n,))}


def from_file(
    description: dict[str, Any], arrays: dict[str, Array], implementation: str | None
) -> Fleet:
    """Return the fleet of a file that `check_file` has checked.

    Parameters
    ----------
    description : dict
    arrays : dict of array
    implementation : {"native", "python"}, optional

    Returns
    -------
    Fleet

    Raises
    ------
    ValueError
        Fleets have no such networks.
    """
    theta = arrays["parameters"]
    template = from_description(description, theta[0].copy(), implementation=implementation)
    _check_template(template)
    fleet = Fleet.__new__(Fleet)
    fleet._hold(template, theta, arrays["seeds"])
    return fleet


def _check_template(template: RNN | GRU | LSTM) -> None:
    """Raise the error of a network that the kernels of fleets do not compute."""
    if not template._network.trains_in_one_call:
        raise ValueError(
            "network: expected one layer in one direction that reads features, with an output for "
            f"each step, first states of zero and no noise, got {template!r}"
        )


def _checked_loss(loss: Any) -> Loss:
    """Return the loss, or raise the error of one that the kernels of fleets do not know."""
    checked = get_loss(loss)
    checked.check_is_of_kernel("a fleet")
    return checked


def _warn(what: str, reasons: dict[int, str]) -> None:
    """Warn of models by number."""
    if not reasons:
        return
    named = [f"model {n}: {reasons[n]}" for n in sorted(reasons)[:MOST_NAMED]]
    more = f"; and {len(reasons) - MOST_NAMED} more" if len(reasons) > MOST_NAMED else ""
    warnings.warn(
        f"{len(reasons)} models, {what}: {'; '.join(named)}{more}", RuntimeWarning, stacklevel=3
    )
