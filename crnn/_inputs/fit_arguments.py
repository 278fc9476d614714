"""Arguments of `fit`: validation data, what is monitored, and callbacks."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from crnn import checks
from crnn._inputs.sequences import dataset, is_ragged
from crnn._network.network import Network
from crnn._training.data import Dataset
from crnn._training.evaluation import EVALUATION_BATCH, check_something_counts
from crnn._training.history import Monitor

if TYPE_CHECKING:
    from crnn._training.ranks import Ranks
    from crnn.losses import Loss


def maker_of_datasets(ranks: "Ranks | None") -> Callable[..., Dataset]:
    """Return the function that makes datasets; with ranks, those that read what a rank takes."""
    if ranks is None:
        return dataset
    # Imported here: few runs have ranks, and importing crnn takes no longer for them.
    from crnn._inputs import lazy_sequences

    return lazy_sequences.dataset


def training_and_validation(
    network: Network,
    data: Dataset,
    loss: "Loss",
    validation_data: Any,
    fraction: Any,
    given: dict[str, Any],
    ranks: "Ranks | None" = None,
) -> tuple[Dataset, Dataset | None, "Loss"]:
    """Return the training data, the validation data, and the loss fitted to the training data.

    Parameters
    ----------
    network : Network
    data : Dataset
    loss : Loss
    validation_data : (x, y), dict or None
    fraction : float or None
        The share of `data` that is validation data.
    given : dict
        The arguments of `fit` that go with x and y, None where not given.
    ranks : Ranks or None
        With them each rank reads and checks its part of the data.

    Raises
    ------
    TypeError, ValueError
        The validation data do not fit, or in one of both sets no step counts in the loss.
    """
    validation = None
    fraction = checked_fraction(fraction, validation_data)
    if validation_data is not None:
        parts = validation_parts(validation_data, given)
        with checks.within("validation_data"):
            validation = maker_of_datasets(ranks)(network, loss=loss, **parts)
    elif fraction is not None:
        n = len(data)
        if n < 2:
            raise ValueError(f"validation_fraction: expected two sequences or more, got {n}")
        data, validation = data.split(n - min(max(round(n * fraction), 1), n - 1))
    if ranks is not None:
        # As in `maker_of_datasets`
        from crnn._training.parallel import agree_about_data, check_share, fitted

        agree_about_data(ranks, network, loss, data, validation)
        loss = fitted(ranks, data, loss, network.architecture.outputs)
        check_share(ranks, data, loss)
        if validation is not None:
            with checks.within("validation data"):
                check_share(ranks, validation, loss)
        return data, validation, loss
    targets = ((batch.y, batch.weights) for batch in data.batches(EVALUATION_BATCH))
    loss = loss.fitted(targets, network.architecture.outputs)
    check_something_counts(data, loss)
    if validation is not None:
        with checks.within("validation data"):
            check_something_counts(validation, loss)
    return data, validation, loss


def checked_fraction(fraction: Any, validation_data: Any) -> float | None:
    """Return `validation_fraction`, which is None where validation data are given."""
    if fraction is None:
        return None
    if validation_data is not None:
        raise ValueError(
            "validation_fraction: expected only one of validation_fraction and "
            "validation_data, got both"
        )
    return checks.number("validation_fraction", fraction, above=0.0, below=1.0)


def validation_parts(validation_data: Any, given: dict[str, Any]) -> dict[str, Any]:
    """Return x, y and what goes with them, by name.

    Parameters
    ----------
    validation_data : (x, y) or dict
    given : dict
        The arguments of `fit` that go with x and y, None where not given.
    """
    known = ("x", "y", *given)
    keys = ", ".join(known[:-1]) + f" and {known[-1]}"
    if isinstance(validation_data, Mapping):
        unknown = [key for key in validation_data if key not in known]
        if unknown:
            raise ValueError(f"validation_data: expected the keys {keys}, got {unknown[0]!r}")
        for key in ("x", "y"):
            if validation_data.get(key) is None:
                raise ValueError(f"validation_data: expected the keys x and y, got no {key}")
        return dict(validation_data)
    is_sized = isinstance(validation_data, (tuple, list))
    if not is_sized or len(validation_data) != 2:
        length = f" of {len(validation_data)}" if is_sized else ""
        raise TypeError(
            f"validation_data: expected a pair (x, y), or a dictionary with the keys {keys}, "
            f"got a {type(validation_data).__name__}{length}"
        )
    x, y = validation_data
    names = [name for name, value in given.items() if value is not None]
    if names and not (names == ["lengths"] and is_ragged(x)):
        raise ValueError(
            f"validation_data: expected a dictionary with the keys {keys}, because fit has "
            f"{names[0]}, got a {type(validation_data).__name__}, which has no place for it"
        )
    return {"x": x, "y": y}


def monitor_of(
    monitor: Any, min_delta: Any, metrics: dict[str, str | None], has_validation: bool
) -> Monitor:
    """Return what decides which epoch is the best.

    Parameters
    ----------
    monitor, min_delta
        As `RNN.fit` documents them.
    metrics : dict
        The metrics of the run by name: "max" or "min" says which values are better, None that it
        is not known.
    has_validation : bool
        Whether the run has validation data; then the metrics are of these.

    Raises
    ------
    TypeError, ValueError
        The arguments do not fit.
    """
    min_delta = checks.number("min_delta", min_delta, at_least=0.0)
    better: dict[str, str | None] = {"loss": "min"}
    if has_validation:
        better["val_loss"] = "min"
    prefix = "val_" if has_validation else ""
    better |= {prefix + name: direction for name, direction in metrics.items()}
    if monitor is None:
        return Monitor("val_loss" if has_validation else "loss", False, min_delta)
    is_pair = isinstance(monitor, (tuple, list)) and len(monitor) == 2
    name, direction = monitor if is_pair else (monitor, None)
    if not isinstance(name, str) or name not in better:
        known = checks.any_of(map(repr, better))
        raise ValueError(f"monitor: expected {known}, which the run records, got {name!r}")
    if direction is None:
        direction = better[name]
    if direction not in ("max", "min"):
        raise ValueError(
            f"monitor: expected ({name!r}, 'max') or ({name!r}, 'min'), for the values that are "
            f"the better ones, got {monitor!r}"
        )
    return Monitor(name, direction == "max", min_delta)


def bound_callbacks(callbacks: Any, trained: Any) -> list[Callable[[Any], Any]]:
    """Return callbacks f(net, history) or f(fleet, history) as functions of the history alone."""
    if not isinstance(callbacks, (list, tuple)) or not all(map(callable, callbacks)):
        raise TypeError(f"callbacks: expected a list of functions, got {callbacks!r}")
    return [partial(callback, trained) for callback in callbacks]
