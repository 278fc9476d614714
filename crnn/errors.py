"""The errors of this package that have no standard name."""


class DivergenceError(ArithmeticError):
    """A training step whose loss, gradient or new parameters are not finite.

    The parameters and the optimizer are as they were before that step.

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
            f"{what} at {where}; that step was undone. "
            "A smaller learning rate, or clip_norm=1.0, usually helps."
        )

    def __reduce__(self) -> tuple[object, ...]:
        # The message is built from other arguments than the ones that ArithmeticError keeps.
        return _restored, (str(self), self.epoch, self.step)


def _restored(message: str, epoch: int | None, step: int) -> DivergenceError:
    error = DivergenceError("", epoch, step)
    error.args = (message,)
    return error


class ModelFileError(ValueError):
    """A file holds no network, or no checkpoint of this run: damaged, something else, or newer."""
