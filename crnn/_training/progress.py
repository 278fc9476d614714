"""The progress bar of a training run."""

import sys
import time
from typing import Any

import numpy as np

from crnn._training.history import History
from crnn._typing import FloatArray


class ProgressBar:
    """A tqdm bar over the epochs or models, or nothing.

    Parameters
    ----------
    wanted : bool or None
        Whether to show it; None: where stderr is a terminal and tqdm is installed.
    total : int
        How many epochs or models.
    sequences : int
        Of an epoch.
    unit : {"epoch", "model"}
    """

    def __init__(
        self, wanted: bool | None, total: int, sequences: int, unit: str = "epoch"
    ) -> None:
        self._sequences = sequences
        self._unit = unit
        self._tqdm: Any = None
        self._total = total
        self._bar: Any = None
        if sys.stderr is not None and (sys.stderr.isatty() if wanted is None else wanted):
            try:
                from tqdm import tqdm
            except ImportError:
                if wanted:
                    raise ImportError("progress=True needs tqdm: pip install 'crnn[cli]'") from None
            else:
                self._tqdm = tqdm

    def start(self, epochs_done: int) -> None:
        """Begin, after so many epochs of an earlier run."""
        if self._tqdm is not None:
            self._bar = self._tqdm(
                total=self._total, initial=epochs_done, desc="training", unit=self._unit
            )
            self._epochs_before, self._started = epochs_done, time.perf_counter()

    def show(self, history: History) -> None:
        """Show another epoch."""
        if self._bar is None:
            return
        sequences = self._sequences * (len(history.loss) - self._epochs_before)
        values = {"loss": f"{history.loss[-1]:.4g}"}
        if history.val_loss:
            values["val_loss"] = f"{history.val_loss[-1]:.4g}"
        rate = sequences / (time.perf_counter() - self._started)
        values["rate"] = f"{rate:,.0f} sequences/s"
        self._bar.set_postfix(values, refresh=False)
        self._bar.update()

    def show_losses(self, epoch: int, losses: dict[str, FloatArray]) -> None:
        """Show an epoch of many models: how many it trained, and the medians of their losses."""
        if self._bar is None:
            return
        values = {"models": f"{np.isfinite(losses['loss']).sum()}"}
        for name, of_models in losses.items():
            finite = of_models[np.isfinite(of_models)]
            if len(finite):
                values[name] = f"{np.median(finite):.4g}"
        self._bar.set_postfix(values, refresh=False)
        self._bar.update(epoch - self._bar.n)

    def advance(self, count: int) -> None:
        """Show that so many are done."""
        if self._bar is not None:
            self._bar.update(count - self._bar.n)

    def close(self) -> None:
        """Stop updating the bar."""
        if self._bar is not None:
            self._bar.close()
