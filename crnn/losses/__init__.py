"""Losses: the value, and its gradient with respect to the outputs, with a weight for each step.

>>> import crnn, numpy as np
>>> loss = crnn.losses.Huber(delta=0.5)
>>> loss.value(np.array([[1.0], [3.0]]), np.array([[1.5], [1.0]]))
0.5
>>> loss.gradient(np.array([[1.0], [3.0]]), np.array([[1.5], [1.0]]), weights=[3, 1]).tolist()
[[-0.375], [0.125]]

`fit`, `train_step` and `loss` take a name ("mse", "huber", ...), one of these objects, or any
object with the methods `value` and `gradient`. The arithmetic is in the kernels; the modules here
check arguments and call them.
"""

from crnn.losses.base import Loss
from crnn.losses.classes import CrossEntropy
from crnn.losses.custom import Custom
from crnn.losses.custom import CustomLoss as CustomLoss
from crnn.losses.regression import MSE, SSE, BinaryCrossEntropy, Huber

__all__ = ["MSE", "SSE", "BinaryCrossEntropy", "CrossEntropy", "Huber", "Loss"]

BY_NAME: dict[str, Loss] = {
    "mse": MSE(),
    "sse": SSE(),
    "cross_entropy": CrossEntropy(),
    "binary_cross_entropy": BinaryCrossEntropy(),
    "huber": Huber(),
}
# A subclass of one of them may do anything, so it counts as a user's own loss.
_OWN_CLASSES = tuple(type(loss) for loss in BY_NAME.values())


def get_loss(loss: str | Loss | CustomLoss) -> Loss:
    """Return the loss of a `loss` argument.

    Parameters
    ----------
    loss : str or object
        A name in `BY_NAME`, a loss of this module, or an object with the methods of `CustomLoss`.

    Raises
    ------
    ValueError
        It is none of these.
    """
    if type(loss) is str and loss in BY_NAME:
        return BY_NAME[loss]
    if isinstance(loss, Loss) and type(loss) in _OWN_CLASSES:
        return loss
    methods = (getattr(loss, name, None) for name in ("value", "gradient"))
    if not isinstance(loss, (str, type)) and all(map(callable, methods)):
        return Custom(loss)
    raise ValueError(
        f"loss: expected {', '.join(map(repr, BY_NAME))} or an object with the methods value and "
        f"gradient, got {loss!r}"
    )
