"""The exceptions of this package."""


class DivergenceError(ArithmeticError):
    """A training step is not finite: its loss, gradient, new parameters or optimizer's memory.

    The step is not taken: parameters and optimizer are as before.

    Attributes
    ----------
    epoch : int or None
        Epoch within `fit`, from 1; None in `train_step`.
    step : int
        Step of the optimizer, from 1.
    """

    def __init__(self, what: str, epoch: int | None, step: int) -> None:
        self.epoch = epoch
        self.step = step
        where = f"step {step}" if epoch is None else f"epoch {epoch}, step {step}"
        super().__init__(
            f"{what} at {where}; the step was not taken. "
            "A smaller learning rate, or clip_norm=1.0, usually helps."
        )

    def __reduce__(self) -> tuple[object, ...]:
        # ArithmeticError keeps the message alone; the attributes are pickled beside it.
        return _restored, (str(self), self.epoch, self.step)


def _restored(message: str, epoch: int | None, step: int) -> DivergenceError:
    error = DivergenceError("", epoch, step)
    error.args = (message,)
    return error


class ModelFileError(ValueError):
    """A file holds no network, or no checkpoint of this run: damaged, something else, or newer."""
