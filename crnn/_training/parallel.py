"""Steps of training that several ranks take together, each with a part of every batch."""

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from crnn import _backend
from crnn._network import memory
from crnn._network.random_numbers import RandomSource, StreamsOfSequences
from crnn._training.data import Batch, Dataset
from crnn._training.evaluation import EVALUATION_BATCH, NOTHING_COUNTS, MeanLoss, weight_of
from crnn._training.ranks import Ranks
from crnn._training.run import NO_CLIPPING, Controls, Plan, Run
from crnn._training.step import divergence, gradient_of_batch, gradient_of_parts, take_step
from crnn._typing import Array, IntArray
from crnn._version import __version__

if TYPE_CHECKING:
    from crnn._network.network import Network
    from crnn._training.checkpoints import Checkpoint
    from crnn.losses import Loss

# Of the keys of random numbers
LARGEST_KEY = 1 << 63

ADVICE = {
    # Each rank has a checksum of them, and a fixed leak is among them.
    "constraints": "pass the same, to networks with the same leak where it is fixed",
    "sequences' lengths": "pass the same sequences on all ranks",
    "validation data's lengths": "pass the same validation data on all ranks",
    "checkpoint": "all ranks have to read the same file",
    "parameters": "make the networks with the same seed",
    "optimizer's memory": "use new optimizers, or those of the same run",
    "random generator": "pass fit the same seed, or make the networks with one",
}


def agree_about_data(
    ranks: Ranks, network: "Network", loss: "Loss", dataset: Dataset, validation: Dataset | None
) -> None:
    """Raise a ValueError on all ranks unless all have data of the same form.

    What is read of them decides what ranks exchange, so this comes before the first reading.
    """
    from crnn._training import checkpoints  # as in `agree`

    found = {
        **network.architecture.describe(),
        "dtype": network.flat.dtype.name,
        "loss": checkpoints.shown_loss(loss),
        "validation": None if validation is None else len(validation),
        "sequences": len(dataset),
    }
    for which, data in (("sequences'", dataset), ("validation data's", validation)):
        if data is not None:
            others = {"mask": data.mask, "h0": data.h0, "skip": data.skip, "resets": data.resets}
            found[f"{which} arguments"] = [
                name for name, values in others.items() if values is not None
            ]
            found[f"{which} lengths"] = _digest(data.lengths)
            found[f"{which} time steps"] = None if data.lengths is not None else len(data.x[0])
    ranks.agree(found, ADVICE)


def agree(
    ranks: Ranks, run: Run, plan: Plan, controls: Controls, dataset: Dataset, **others: Any
) -> None:
    """Raise a ValueError on all ranks unless all have the same run before them.

    Parameters
    ----------
    ranks : Ranks
    run : Run
    plan : Plan
    controls : Controls
    dataset : Dataset
        The training data.
    **others
        Further settings that decide what the ranks do.
    """
    # Imported here: the libraries for files take longer to import than crnn.
    from crnn._training import checkpoints

    network, optimizer = run.network, run.optimizer
    ranks.make_room(network.flat)
    generator = run.rng.bit_generator.state if plan.shuffle or network.draws else None
    found = {
        "crnn": __version__,
        **checkpoints.settings(run, plan, controls, len(dataset)),
        **others,
        "implementation": _backend.name_of(network.kernels),
        # Another one rounds in another way: the parameters would come apart.
        "instruction set (CRNN_CPU)": network.kernels.instruction_set,
        "parameters": _digest(network.flat),
        "optimizer's memory": [optimizer.steps, *map(_digest, optimizer.memory.values())],
        "random generator": json.dumps(generator, default=np.ndarray.tolist),
    }
    ranks.agree(found, ADVICE)


def agree_about_checkpoint(ranks: Ranks, checkpoint: "Checkpoint") -> None:
    """Raise a ValueError on all ranks unless all go on from the same file, or from none."""
    ranks.agree({"checkpoint": checkpoint.checksum()}, ADVICE)


def _digest(values: Array | None) -> str | None:
    return None if values is None else hashlib.sha256(np.ascontiguousarray(values).data).hexdigest()


def _batches_of_share(ranks: Ranks, dataset: Dataset) -> Iterator[Batch]:
    """Yield this rank's part of all sequences, in order."""
    rows = ranks.share(np.arange(len(dataset)), dataset.lengths)
    for first in range(0, len(rows), EVALUATION_BATCH):
        yield from dataset.parts(rows[first : first + EVALUATION_BATCH])


def fitted(ranks: Ranks, dataset: Dataset, loss: "Loss", outputs: int) -> "Loss":
    """Return the loss with what it learns from the training targets of all ranks."""
    if loss.is_fitted:
        return loss
    counts = np.zeros(outputs)
    for batch in _batches_of_share(ranks, dataset):
        weights = None if batch.weights is None else batch.weights.ravel()
        counts += np.bincount(batch.y.ravel(), weights, outputs)
    total = sum(of_rank for (of_rank,) in ranks.gather([counts]))
    # Each class once, with the weight of all its targets
    return loss.fitted([(np.arange(outputs), np.asarray(total))], outputs)


def check_share(ranks: Ranks, dataset: Dataset, loss: "Loss") -> None:
    """Read and check this rank's part of all sequences before the first step.

    Raises
    ------
    ValueError, TypeError
        Something is wrong with them; or on all ranks nothing counts in the loss.
    """
    weight = sum(weight_of(batch, loss) for batch in _batches_of_share(ranks, dataset))
    if ranks.sum(weight) == 0:
        raise ValueError(NOTHING_COUNTS)


def train_by_batch(
    run: Run, dataset: Dataset, plan: Plan, epoch: int, ranks: Ranks
) -> tuple[float, float]:
    """Take the steps of an epoch one by one; return the mean loss and norm."""
    mean, norms, steps = MeanLoss(plan.loss), 0.0, 0
    for rows in dataset.rows(plan.batch_size, run.rng if plan.shuffle else None):
        share = ranks.share(rows, dataset.lengths)
        if plan.bptt is None:
            parts = dataset.parts(share) if len(share) else []
            value, weight, norm, _ = _train_step(run, parts, share, plan, epoch, ranks)
            taken = 1
        else:
            batch = dataset.take(share) if len(share) else None
            chunks = -(-dataset.longest(rows) // plan.bptt)
            value, weight, norm, taken = _train_in_chunks(
                run, batch, share, chunks, plan, epoch, ranks
            )
        if weight:
            mean.add(value, weight)
            norms, steps = norms + norm, steps + taken
    return mean.value, norms / steps


def _train_in_chunks(
    run: Run,
    batch: Batch | None,
    share: IntArray,
    chunks: int,
    plan: Plan,
    epoch: int,
    ranks: Ranks,
) -> tuple[float, float, float, int]:
    """Take a step for each chunk of a batch (truncated BPTT).

    Parameters
    ----------
    run : Run
    batch : Batch or None
        This rank's part of it; None: it has none.
    share : array (B,)
        The numbers of its sequences.
    chunks : int
        How many all ranks take.
    plan, epoch, ranks
        As in `train_by_batch`.

    Returns
    -------
    tuple
        The mean loss, the weight of the batch, the sum of the gradients' norms, and the number of
        steps.
    """
    assert plan.bptt is not None
    mean, norms, steps = MeanLoss(plan.loss), 0.0, 0
    total = ranks.sum(0.0 if batch is None else weight_of(batch, plan.loss))
    if total == 0:
        return 0.0, 0.0, 0.0, 0
    parts = iter(()) if batch is None else batch.chunks(plan.bptt)
    states = None if batch is None else batch.h0
    for _ in range(chunks):
        # A rank whose sequences have ended takes the steps of the others.
        part = next(parts, None)
        chunk = [] if part is None else [part._replace(h0=states)]
        value, weight, norm, states = _train_step(run, chunk, share, plan, epoch, ranks)
        if weight:
            mean.add(value, weight)
            norms, steps = norms + norm, steps + 1
    return mean.value, total, norms, steps


def _train_step(
    run: Run, parts: list[Batch], share: IntArray, plan: Plan, epoch: int, ranks: Ranks
) -> tuple[float, float, float, Array | None]:
    """Take a step on the parts of all ranks, unless nothing counts.

    As `train_step`, it is taken or changes nothing.

    Parameters
    ----------
    run : Run
    parts : list of Batch
        Those of this rank.
    share : array (n,)
        The numbers of their sequences.
    plan, epoch, ranks
        As in `train_by_batch`.

    Returns
    -------
    loss, weight : float
        Of the parts of all ranks.
    norm : float
        The gradient's norm before clipping.
    last_states : array (layers * directions, B, S) or None
        Of this rank's only part, with truncated BPTT.
    """
    sources: list[RandomSource] = [run.rng] * len(parts)
    generator, state_before, steps_before = run.rng.bit_generator, None, run.optimizer.steps
    try:
        if run.network.draws:
            state_before = generator.state
            key = int(run.rng.integers(LARGEST_KEY))
            sources = _streams(key, share, parts)
        return _step_of_all(run, parts, sources, plan, epoch, ranks)
    except BaseException:
        if state_before is not None and run.optimizer.steps == steps_before:
            generator.state = state_before
        raise


def _step_of_all(
    run: Run,
    parts: list[Batch],
    sources: Sequence[RandomSource],
    plan: Plan,
    epoch: int,
    ranks: Ranks,
) -> tuple[float, float, float, Array | None]:
    """Take the step of `_train_step`, with a source of random numbers for each part."""
    network, loss, optimizer = run.network, plan.loss, run.optimizer
    steps = 1 if plan.bptt is None else max((part.x.shape[1] for part in parts), default=1)
    weight = sum(weight_of(part, loss, steps) for part in parts)
    value, states = 0.0, None
    if weight == 0:
        gradient = memory.zeros(network.flat.shape, network.flat.dtype)
        if parts and plan.bptt is not None:
            states = _last_states(network, parts[0], sources[0])
    elif len(parts) == 1:
        value, _, gradient, states = gradient_of_batch(
            network, parts[0], loss, NO_CLIPPING, sources[0], wants_states=plan.bptt is not None
        )
    else:
        value, _, gradient = gradient_of_parts(network, parts, loss, NO_CLIPPING, sources)
    # From here on all ranks do the same: they take the step, or none does.
    with ranks.without_interrupts():
        values, weights = ranks.exchange(value, weight).T.tolist()
        total = sum(weights)
        if total == 0:
            return 0.0, 0.0, 0.0, states
        shares = [w / total if loss.is_mean else 1.0 for w in weights]
        value = sum(share * v for share, v in zip(shares, values, strict=True))
        with np.errstate(all="ignore"):
            gradient *= shares[ranks.rank]
        ranks.add_up(gradient)
        norm = network.clip(gradient, plan.clipping.norm, plan.clipping.value)
        is_finite = math.isfinite(value) and math.isfinite(norm)
        if not (is_finite and take_step(network, optimizer, gradient, plan.constraints)):
            raise divergence(value, norm, epoch, optimizer.steps + 1)
    return value, total, norm, states


def _last_states(network: "Network", batch: Batch, rng: RandomSource) -> Array:
    """Return the states after a batch in which nothing counts."""
    if network.draws:
        tape = network.forward(
            batch.x, batch.h0, batch.lengths, skip=batch.skip, resets=batch.resets, rng=rng
        )
        return tape.last_states
    states = network.empty_states(len(batch.x))
    network.predict(batch.x, batch.h0, states, batch.lengths, batch.skip, batch.resets)
    return states


def _streams(key: int, share: IntArray, parts: list[Batch]) -> list[RandomSource]:
    """Return the streams of each part; the parts are the sequences of the share in order."""
    ends = np.cumsum([len(part.x) for part in parts])
    return [
        StreamsOfSequences(key, share[end - len(part.x) : end])
        for part, end in zip(parts, ends, strict=True)
    ]
