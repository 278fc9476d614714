"""The last step of sequences, as a part of a `Sequential`."""

from typing import Any

import numpy as np
import numpy.typing as npt

from crnn._typing import Array

__all__ = ["LastStep"]


class LastStep:
    """What the parts before give at the last step of each sequence, as a part of a `Sequential`.

    Where the network before reads in both directions, this is not its ``return_sequences=False``,
    which gives the last states of both: at the last step of a sequence the backward direction has
    read this step alone. Models in PyTorch that take ``output[:, -1]`` compute this.

    In a stream there are outputs for each step.

    Examples
    --------
    >>> import crnn, numpy as np
    >>> both = crnn.LSTM(input_size=2, hidden_size=8, bidirectional=True, seed=0)
    >>> chain = crnn.Sequential([both, crnn.LastStep()])
    >>> x = np.random.default_rng(0).normal(size=(3, 10, 2))
    >>> bool((chain.predict(x) == both.predict(x)[:, -1]).all())
    True
    """

    def __repr__(self) -> str:
        return "LastStep()"

    def _of_sequences(
        self, y: Array | list[Array], lengths: npt.NDArray[Any] | None, nothing: Array
    ) -> Array:
        """Return the last steps (B, O) or (O,) of (B, T, O) or (T, O), or of a list of (T, O).

        `nothing` are those of no sequences, (0, O).
        """
        if isinstance(y, list):
            for number, one in enumerate(y):
                _check_steps(f"x[{number}]", len(one))
            return np.stack([one[-1] for one in y]) if y else nothing
        if lengths is not None:
            for number, length in enumerate(lengths):
                _check_steps(f"lengths[{number}]", length)
            last: Array = y[np.arange(len(y)), lengths.astype(np.intp) - 1]
            return last
        T = y.shape[-2]
        if y.ndim == 3 and not len(y):
            return nothing
        _check_steps("x", T)
        return np.ascontiguousarray(y[..., T - 1, :])


def _check_steps(name: str, count: int) -> None:
    if not count:
        raise ValueError(f"{name}: expected at least one step, of which LastStep takes the last")
