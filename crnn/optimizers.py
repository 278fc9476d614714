"""Optimizers: one step is one kernel call on the flat vectors of parameters and gradients."""

import inspect
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from crnn import checks
from crnn._network.network import Network
from crnn._typing import Array, IntArray
from crnn.constraints import ConstraintSet, ConstraintsLike
from crnn.kernels.constraints import Constraints

# A number, or a function from the number of steps taken so far to one
LearningRate = float | Callable[[int], float]


class _State(NamedTuple):
    """What an optimizer keeps from step to step: one object, so that it changes as a whole."""

    theta: Array | None = None
    """The parameters that it belongs to, from the first step on."""
    memory: dict[str, Array | None] = {}  # noqa: RUF012 (never changed)
    """All vectors; None: the kernel does without."""
    counted: Sequence[int] | IntArray = (0,)
    """How many steps it has taken: one number, in an array where a kernel counts them."""
    first: int = 0
    """The number of the step whose learning rate is the first of `lrs`."""
    lrs: Sequence[float | None] = (None,)
    """The learning rates of this step and of those after it; None before the first step."""


class _Rates(Sequence[float | None]):
    """The rate of the step before, and that of all steps after it."""

    def __init__(self, last: float | None, present: float) -> None:
        self._last, self._present = last, present

    def __len__(self) -> int:
        return sys.maxsize

    def __getitem__(self, index: Any) -> Any:
        return self._present if index else self._last


class Attachment(NamedTuple):
    """What a learner takes an optimizer's steps with."""

    lr: float
    """The learning rate of the next step."""
    memory: dict[str, Array | None]
    """The vectors that a step changes."""
    counted: IntArray
    """How many steps have been taken, (1,); each adds one."""
    state: _State
    """The optimizer's state while nothing else has taken a step."""


class Optimizer:
    """The base class of all optimizers.

    An optimizer belongs to the first network that it takes a step for.

    Attributes
    ----------
    steps : int
        How many steps it has taken.
    last_lr : float or None
        The learning rate of the last of them.
    """

    # The kernel that takes a step
    _kernel: str
    # The vectors that it takes after parameters and gradient, by name in its order
    _vectors: tuple[str, ...]
    # Whether it takes the step's number after them
    _counts_steps = False
    searches = False
    """Whether it evaluates the loss of all data at several places for a step."""

    def __init__(
        self, lr: LearningRate, constraints: ConstraintsLike | None = None, **numbers: float
    ) -> None:
        self.lr = lr
        self._constraints = None if constraints is None else ConstraintSet(constraints)
        # What the kernel takes after the learning rate, by name in its order
        self._numbers: dict[str, float] = numbers
        self._state = _State()

    @property
    def steps(self) -> int:
        """How many steps it has taken."""
        return int(self._state.counted[0])

    @property
    def last_lr(self) -> float | None:
        """The learning rate of the last of them."""
        return self._state.lrs[self.steps - self._state.first]

    @property
    def is_fused(self) -> bool:
        """Whether `rnn_train` takes its steps: those of a user's own class may be others."""
        return type(self).__module__ == __name__

    @property
    def lr(self) -> LearningRate:
        """The learning rate: a number, or a function of the number of steps taken so far.

        It may be assigned to between steps.
        """
        return self._lr

    @lr.setter
    def lr(self, value: LearningRate) -> None:
        self._lr = value if callable(value) else checks.number("lr", value, at_least=0.0)

    @property
    def constraints(self) -> ConstraintSet | None:
        """The constraints of the parameters that it changes."""
        return self._constraints

    def limits_for(
        self, network: Network, constraints: ConstraintsLike | None
    ) -> Constraints | None:
        """Return what its steps keep a network's parameters within, with the network's own limits.

        Parameters
        ----------
        network : Network
        constraints : dict, optional
            Constraints by the names of parameters, where the optimizer has none.

        Raises
        ------
        ValueError, TypeError
            Both have constraints, they do not fit the network, or the optimizer is of a user's own
            class whose step takes none.
        """
        given = self._constraints
        if constraints is not None:
            if given is not None:
                raise ValueError(
                    "constraints: expected none beside those of the optimizer, got "
                    f"{ConstraintSet(constraints)!r}"
                )
            given = ConstraintSet(constraints)
        limits = network.constraints if given is None else given.compiled(network)
        step = type(self).step
        if not (
            limits is None
            or step is Optimizer.step
            or "constraints" in inspect.signature(step).parameters
        ):
            reason = "" if given is not None else ", which keep the leak of this network in place"
            raise TypeError(
                f"optimizer: expected one whose step takes constraints{reason}, "
                f"got {type(self).__name__}"
            )
        return limits

    @property
    def weight_decay(self) -> float:
        """The factor of each parameter that is added to its gradient, or for AdamW subtracted."""
        return self._numbers["weight_decay"]

    @property
    def current_lr(self) -> float:
        """The learning rate of the next step."""
        return self._lr_of(self.steps)

    def _lr_of(self, step: int) -> float:
        if callable(self._lr):
            return checks.number(f"lr({step})", self._lr(step), at_least=0.0)
        return self._lr

    def __repr__(self) -> str:
        settings = self.settings()
        if not self.weight_decay:
            del settings["weight_decay"]
        if self._constraints is not None:
            settings["constraints"] = self._constraints
        shown = {k: f"{v:g}" if type(v) is float else v for k, v in settings.items()}
        return f"{type(self).__name__}({', '.join(f'{k}={v}' for k, v in shown.items())})"

    def settings(self) -> dict[str, Any]:
        """Return its numbers by name; a learning rate that is a function is not kept."""
        lr = "a function" if callable(self._lr) else self._lr
        return {"lr": lr} | {k: v for k, v in self._numbers.items() if k != "decoupled"}

    @property
    def memory(self) -> dict[str, Array]:
        """The vectors kept from step to step; none before the first."""
        vectors = self._state.memory if self.steps else {}
        return {name: vector for name, vector in vectors.items() if vector is not None}

    @property
    def memory_names(self) -> tuple[str, ...]:
        """The names of these vectors."""
        return tuple(name for name in self._vectors if self._keeps(name))

    def _keeps(self, name: str) -> bool:
        """Whether a vector is kept."""
        return name != "velocity" or self._numbers["momentum"] != 0

    def restore(self, theta: Array, memory: dict[str, Array], steps: int, last_lr: float) -> None:
        """Set the state that a checkpoint kept.

        Parameters
        ----------
        theta : array (n,)
            The parameters of the network, which the optimizer belongs to from now on.
        memory : dict of array (n,)
            By the names in `memory_names`.
        steps : int
            How many steps have been taken.
        last_lr : float
            The learning rate of the last one.
        """
        vectors = dict.fromkeys(self._vectors) | memory
        self._state = _State(theta, vectors, (steps,), steps, (last_lr,))

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy or a pickle keeps: it counts its own steps."""
        return self.__dict__ | {"_state": self._state._replace(counted=(self.steps,))}

    def check_owner(self, theta: Array) -> None:
        """Raise a ValueError if it belongs to another network.

        Parameters
        ----------
        theta : array (n,)
            The parameters of the network that asks.
        """
        if self.steps and self._state.theta is not theta:
            raise ValueError(
                "optimizer: expected one that is new or belongs to this network, "
                "got one that belongs to another network"
            )

    def step(
        self,
        kernels: ModuleType,
        theta: Array,
        dtheta: Array,
        constraints: Constraints | None = None,
    ) -> bool:
        """Take one step in place.

        From the first step taken it belongs to these parameters.

        Parameters
        ----------
        kernels : module
            One of the implementations.
        theta : array (n,)
            Parameters; changed.
        dtheta : array (n,)
            Their gradient.
        constraints : Constraints, optional
            Compiled for these parameters, which are within them after the step.

        Returns
        -------
        bool
            False: no step is taken, because a parameter or a vector would not stay finite.
        """
        # First, because the function of a learning rate may take steps with this optimizer, too.
        lr = self._lr_of(self.steps)
        memory, state = self._memory_of(theta), self._state
        counted = state.counted
        before = int(counted[0])
        if state.theta is not theta or not isinstance(counted, np.ndarray):
            counted = np.array([before], np.intp)
        last_lr = state.lrs[before - state.first]
        number = (before + 1,) if self._counts_steps else ()
        # Before the call, because an exception such as Ctrl-C's may be raised right after the
        # kernel, which has counted its step here by then. After it nothing is allocated.
        self._state = _State(theta, memory, counted, before, (last_lr, lr))
        taken: bool = getattr(kernels, self._kernel)(
            theta, dtheta, *memory.values(), *number, lr, *self._numbers.values(), counted,
            constraints,
        )  # fmt: skip
        return taken

    def take_steps(self, count: int, train: Callable[..., None], theta: Array) -> int:
        """Take several steps in one kernel call.

        From the first step taken it belongs to these parameters.

        Parameters
        ----------
        count : int
            How many steps are to be taken.
        train : function
            Gets the name of the kernel of a step, its vectors and its numbers by name, the number
            of steps taken so far, (1,), and the learning rates: (count,), or fewer where the next
            one cannot be had. It calls `rnn_train`, which counts the steps that it takes.
        theta : array (n,)
            The parameters that it changes.

        Returns
        -------
        int
            How many steps were taken: fewer if the next one would not be finite.
        """
        lrs: list[float] = []
        error = None
        for step in range(self.steps, self.steps + count):
            try:
                lrs.append(self._lr_of(step))
            except Exception as raised:
                # The steps before are taken, as one by one.
                if not lrs:
                    raise
                error = raised
                break
        # After the rates, as in `step`
        memory, before = self._memory_of(theta), self.steps
        steps, rates = self._state.counted, np.array(lrs)
        if self._state.theta is not theta or not isinstance(steps, np.ndarray):
            steps = np.array([before], np.intp)
        # As in `step`
        self._state = _State(theta, memory, steps, before, [self.last_lr, *lrs])
        train(self._kernel, memory, self._numbers, steps, rates)
        if error is not None and self.steps - before == len(lrs):
            raise error
        return self.steps - before

    def attach(self, theta: Array) -> Attachment:
        """Let a learner take the steps that follow: it changes vectors and count in place.

        From the first step taken the optimizer belongs to these parameters.

        Parameters
        ----------
        theta : array (n,)
            The parameters that the learner changes.

        Returns
        -------
        Attachment
            With the same vectors and the same count as that before, if nobody else has had the
            optimizer since.

        Raises
        ------
        ValueError
            The optimizer belongs to another network.
        """
        self.check_owner(theta)
        # First, as in `step`
        lr = self.current_lr
        memory, counted, steps = self._memory_of(theta), self._state.counted, self.steps
        if self._state.theta is not theta or not isinstance(counted, np.ndarray):
            counted = np.array([steps], np.intp)
        self._state = _State(theta, memory, counted, steps, _Rates(self.last_lr, lr))
        return Attachment(lr, memory, counted, self._state)

    def is_attached(self, attachment: Attachment) -> bool:
        """Whether neither the learning rate nor the state has been changed by others since.

        Parameters
        ----------
        attachment : Attachment
            What `attach` returned.
        """
        # A learning rate that is a function is not the number that it has given.
        return self._state is attachment.state and self._lr is attachment.lr

    def kernel_arguments(
        self, theta: Array, vectors: dict[str, Array]
    ) -> tuple[str, dict[str, Array | None], dict[str, float]]:
        """Return the name of its kernel, and what that takes by name: vectors, and numbers.

        Parameters
        ----------
        theta : array (n,)
            The parameters.
        vectors : dict of array (n,)
            Those that it has kept; zeros for the others.
        """
        memory = self._new_memory(theta) | vectors
        return self._kernel, memory, self._numbers

    def _memory_of(self, theta: Array) -> dict[str, Array | None]:
        """Return the vectors that the kernel takes; new ones before the first step."""
        if self._state.theta is theta:
            return self._state.memory
        return self._new_memory(theta)

    def _new_memory(self, theta: Array) -> dict[str, Array | None]:
        """Return the vectors that the kernel takes before the first step."""
        return {name: np.zeros_like(theta) if self._keeps(name) else None for name in self._vectors}


class SGD(Optimizer):
    """Stochastic gradient descent: theta -= lr g, g = dtheta + weight_decay theta.

    With momentum mu the velocity v is kept from step to step: v = mu v + g, and theta -= lr v.
    Nesterov's form is theta -= lr (g + mu v) (Sutskever, Martens, Dahl and Hinton 2013, "On the
    importance of initialization and momentum in deep learning", in PyTorch's arrangement).
    The velocity starts at zero.

    Parameters
    ----------
    lr : float or function
        Learning rate, finite and not negative, or a function of the number of steps taken so far,
        such as those of `crnn.schedules`.
    momentum : float, default 0
        mu, with 0 <= mu < 1.
    nesterov : bool, default False
        Needs a momentum above 0.
    weight_decay : float, default 0
        Not negative.
    constraints : dict, optional
        Constraints of `crnn.constraints` by the names of parameters, which meet them after each
        step.

    Raises
    ------
    ValueError, TypeError
        A setting is out of its range or no number.

    Examples
    --------
    >>> import crnn
    >>> crnn.SGD(0.05, momentum=0.9)
    SGD(lr=0.05, momentum=0.9, nesterov=False)
    """

    _kernel = "sgd_step"
    _vectors = ("velocity",)

    def __init__(
        self,
        lr: LearningRate,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        *,
        constraints: ConstraintsLike | None = None,
    ) -> None:
        super().__init__(
            lr,
            constraints,
            momentum=checks.number("momentum", momentum, at_least=0.0, below=1.0),
            nesterov=checks.boolean("nesterov", nesterov),
            weight_decay=checks.number("weight_decay", weight_decay, at_least=0.0),
        )
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov: expected a momentum above 0 with it, got momentum=0")

    @property
    def momentum(self) -> float:
        """The momentum mu."""
        return self._numbers["momentum"]

    @property
    def nesterov(self) -> bool:
        """Whether steps take Nesterov's form."""
        return bool(self._numbers["nesterov"])


class RMSprop(Optimizer):
    """RMSprop: each gradient divided by the root of its mean square (Tieleman and Hinton 2012).

    With g = dtheta + weight_decay theta: s = alpha s + (1 - alpha) g^2, u = g / (sqrt(s) + eps);
    theta -= lr u, or with momentum mu v = mu v + u and theta -= lr v. Both start at zero.

    Parameters
    ----------
    lr : float or function, default 0.01
        As in `SGD`.
    alpha : float, default 0.99
        Decay rate of s, 0 <= alpha < 1.
    eps : float, default 1e-8
        Above 0.
    momentum : float, default 0
        mu, with 0 <= mu < 1.
    weight_decay : float, default 0
        Not negative.
    constraints : dict, optional
        As in `SGD`.

    Raises
    ------
    ValueError, TypeError
        A setting is out of its range or no number.
    """

    _kernel = "rmsprop_step"
    _vectors = ("square", "velocity")

    def __init__(
        self,
        lr: LearningRate = 0.01,
        alpha: float = 0.99,
        eps: float = 1e-8,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        *,
        constraints: ConstraintsLike | None = None,
    ) -> None:
        super().__init__(
            lr,
            constraints,
            alpha=checks.number("alpha", alpha, at_least=0.0, below=1.0),
            eps=checks.number("eps", eps, above=0.0),
            momentum=checks.number("momentum", momentum, at_least=0.0, below=1.0),
            weight_decay=checks.number("weight_decay", weight_decay, at_least=0.0),
        )


class Adam(Optimizer):
    """Adam: steps from running means of the gradient and of its square (Kingma and Ba 2015).

    With g = dtheta + weight_decay theta: m += (1 - beta1) (g - m); s = beta2 s + (1 - beta2) g^2;
    with both corrected for their start at zero, theta -= lr m / (sqrt(s) + eps).

    Parameters
    ----------
    lr : float or function, default 0.001
        As in `SGD`.
    beta1, beta2 : float, default 0.9 and 0.999
        Decay rates of the means, each at least 0 and below 1.
    eps : float, default 1e-8
        Above 0.
    weight_decay : float, default 0
        Not negative.
    constraints : dict, optional
        As in `SGD`.

    Raises
    ------
    ValueError, TypeError
        A setting is out of its range or no number.
    """

    _kernel = "adam_step"
    _vectors = ("mean", "square")
    _counts_steps = True
    _decoupled = False

    def __init__(
        self,
        lr: LearningRate = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        constraints: ConstraintsLike | None = None,
    ) -> None:
        super().__init__(
            lr,
            constraints,
            beta1=checks.number("beta1", beta1, at_least=0.0, below=1.0),
            beta2=checks.number("beta2", beta2, at_least=0.0, below=1.0),
            eps=checks.number("eps", eps, above=0.0),
            weight_decay=checks.number("weight_decay", weight_decay, at_least=0.0),
            decoupled=self._decoupled,
        )


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019).

    theta -= lr weight_decay theta, then a step of `Adam` without weight decay.

    Parameters
    ----------
    lr : float or function, default 0.001
        As in `SGD`.
    beta1, beta2 : float, default 0.9 and 0.999
        As in `Adam`.
    eps : float, default 1e-8
        Above 0.
    weight_decay : float, default 0.01
        Not negative.
    constraints : dict, optional
        As in `SGD`.

    Raises
    ------
    ValueError, TypeError
        A setting is out of its range or no number.
    """

    _decoupled = True

    def __init__(
        self,
        lr: LearningRate = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        *,
        constraints: ConstraintsLike | None = None,
    ) -> None:
        super().__init__(lr, beta1, beta2, eps, weight_decay, constraints=constraints)


OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    optimizer.__name__: optimizer for optimizer in (SGD, RMSprop, Adam, AdamW)
}
"""By name, as files keep them."""
