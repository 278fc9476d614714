"""Optimizers: what a gradient does to the parameters, one kernel call on the flat vectors."""

from types import ModuleType

import numpy as np

from crnn import checks
from crnn.checks import Array


class SGD:
    """Stochastic gradient descent: theta -= lr * dtheta, with optional momentum.

    With momentum mu the velocity v is kept from step to step: v = mu v + dtheta, and
    theta -= lr v. Nesterov's form takes theta -= lr (dtheta + mu v) instead (Sutskever, Martens,
    Dahl and Hinton 2013, "On the importance of initialization and momentum in deep learning",
    arranged as PyTorch does). The velocity starts at zero.

    An optimizer belongs to the first network that it takes a step for.

    Parameters
    ----------
    lr : float
        Learning rate, finite and not negative. It may be assigned to between steps.
    momentum : float, default 0
        mu, with 0 <= mu < 1.
    nesterov : bool, default False
        Needs a momentum above 0.

    Attributes
    ----------
    steps : int
        How many steps it has taken.

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

    def __init__(self, lr: float, momentum: float = 0.0, nesterov: bool = False) -> None:
        self.lr = lr
        self._momentum = checks.number("momentum", momentum, at_least=0.0, below=1.0)
        self._nesterov = checks.boolean("nesterov", nesterov)
        if self._nesterov and not self._momentum:
            raise ValueError("nesterov: expected a momentum above 0 with it, got momentum=0")
        self.steps = 0
        self._theta: Array | None = None
        self._velocity: Array | None = None

    @property
    def lr(self) -> float:
        """The learning rate."""
        return self._lr

    @lr.setter
    def lr(self, value: float) -> None:
        self._lr = checks.number("lr", value, at_least=0.0)

    @property
    def momentum(self) -> float:
        """The momentum mu."""
        return self._momentum

    @property
    def nesterov(self) -> bool:
        """Whether steps take Nesterov's form."""
        return self._nesterov

    def __repr__(self) -> str:
        return f"SGD(lr={self.lr:g}, momentum={self.momentum:g}, nesterov={self.nesterov})"

    def check_owner(self, theta: Array) -> None:
        """Raise a ValueError if it belongs to another network than the one of these parameters."""
        if self._theta is not None and self._theta is not theta:
            raise ValueError(
                "optimizer: expected one that is new or belongs to this network, "
                "got one that belongs to another network"
            )

    def step(self, kernels: ModuleType, theta: Array, dtheta: Array) -> bool:
        """Take one step in place and return True, or none where a parameter would not stay finite.

        From the first step taken it belongs to these parameters.
        """
        velocity = self._velocity
        if velocity is None and self._momentum:
            velocity = np.zeros_like(theta)
        taken: bool = kernels.sgd_step(
            theta, dtheta, velocity, self._lr, self._momentum, self._nesterov
        )
        if taken:
            self._theta, self._velocity, self.steps = theta, velocity, self.steps + 1
        return taken
