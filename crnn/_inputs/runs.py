"""Arguments of `fit`: validation data and callbacks."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from crnn import checks
from crnn._inputs.sequences import dataset
from crnn._network.network import Network
from crnn._training.data import Dataset
from crnn._training.evaluation import EVALUATION_BATCH, check_something_counts
from crnn._training.history import History

if TYPE_CHECKING:
    from crnn.losses import Loss


def split(
    network: Network, data: Dataset, loss: "Loss", validation_data: Any, fraction: Any
) -> tuple[Dataset, Dataset | None, "Loss"]:
    """Return the training data, the validation data and the loss fitted to the former.

    Raises what is wrong with them.

    Parameters
    ----------
    network : Network
    data : Dataset
    loss : Loss
    validation_data : (x, y) or None
    fraction : float or None
        The share of `data` that is validation data.
    """
    validation = None
    if validation_data is not None:
        if fraction is not None:
            raise ValueError(
                "validation_fraction: expected only one of validation_fraction and "
                "validation_data, got both"
            )
        is_sized = isinstance(validation_data, (tuple, list))
        if not is_sized or len(validation_data) != 2:
            length = f" of {len(validation_data)}" if is_sized else ""
            raise TypeError(
                "validation_data: expected a pair (x, y), "
                f"got a {type(validation_data).__name__}{length}"
            )
        x, y = validation_data
        with checks.within("validation_data"):
            validation = dataset(network, x, y, loss)
    elif fraction is not None:
        fraction = checks.number("validation_fraction", fraction, above=0.0, below=1.0)
        n = len(data)
        if n < 2:
            raise ValueError(f"validation_fraction: expected two sequences or more, got {n}")
        data, validation = data.split(n - min(max(round(n * fraction), 1), n - 1))
    targets = ((batch.y, batch.weights) for batch in data.batches(EVALUATION_BATCH))
    loss = loss.fitted(targets, network.architecture.outputs)
    check_something_counts(data, loss)
    if validation is not None:
        with checks.within("validation data"):
            check_something_counts(validation, loss)
    return data, validation, loss


def bound_callbacks(callbacks: Any, net: Any) -> list[Callable[[History], Any]]:
    """Return callbacks f(net, history) as functions of the history alone."""
    if not isinstance(callbacks, (list, tuple)) or not all(map(callable, callbacks)):
        raise TypeError(f"callbacks: expected a list of functions, got {callbacks!r}")
    return [partial(callback, net) for callback in callbacks]
