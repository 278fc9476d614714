"""Forecasts of `crnn.forecasting` and of other methods on several kinds of series.

`python -m benchmarks.quality.forecasts` fits each method to the first four fifths of each series
and forecasts from up to 200 places in the last fifth, without fitting again. It prints, as tables
for `docs/applications/forecasting.rst`, the root mean square errors over the horizon, how many of
the numbers are within the prediction intervals, and the seconds of fitting: of nine series, and of
eleven kinds of series with three seeds each. AutoETS and AutoARIMA are compared where statsforecast
is installed.
"""

import argparse
import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from benchmarks.quality.series import held_out, series
from crnn.forecasting import Forecaster, comparisons
from crnn.forecasting.columns import Columns
from crnn.forecasting.selection import spread_origins

__all__ = ["main", "series"]

ORIGINS = 200
LEVELS = (80.0, 90.0, 95.0)
SEEDS = (100, 101, 102)
# What statsforecast is told, as its users do; it takes no longer seasons. 1: none.
SEASONS = {
    "airline passengers": 12,
    "days with weeks and years": 7,
    "sunspots by year": 11,
    "hours of weeks": 24,
    "8 years of months, rising": 12,
    "20 years of months": 12,
    "4 years of months": 12,
    "counts by day of week": 7,
}
COLUMNS = {
    "crnn": "crnn",
    "persistence": "Persistence",
    "same as a season before": "Season",
    "autoregression": "AR",
    "AutoETS": "AutoETS",
    "AutoARIMA": "AutoARIMA",
}
WITH_BANDS = ("crnn", *comparisons.STATSFORECAST)


class Crnn:
    """A forecaster as the other methods are called."""

    def fit(self, numbers: np.ndarray, columns: Columns, horizon: int) -> None:
        self.model = Forecaster().fit(numbers, horizon=horizon)

    def forecast(
        self, numbers: np.ndarray, columns: Columns, steps: int, levels: tuple[float, ...]
    ) -> tuple[np.ndarray, np.ndarray]:
        return self.model.forecast(numbers, steps), self.model.intervals(numbers, steps, levels)


class Result(NamedTuple):
    """What a method did on one series or several: error, coverage by level, seconds."""

    error: float
    coverage: np.ndarray | None
    seconds: float

    @classmethod
    def of(cls, method: comparisons.Method, numbers: np.ndarray, horizon: int) -> "Result":
        first, none = len(numbers) * 4 // 5, Columns.none(len(numbers))
        start = time.perf_counter()
        method.fit(numbers[:first], none.first(first), horizon)
        seconds = time.perf_counter() - start
        errors, inside = [], []
        for origin in spread_origins(first, len(numbers), horizon, ORIGINS):
            truth = numbers[origin : origin + horizon]
            forecast, bands = method.forecast(numbers[:origin], none, horizon, LEVELS)
            errors.append(forecast - truth)
            if bands is not None:
                inside.append((bands[:, 0] <= truth) & (truth <= bands[:, 1]))
        error = float(np.sqrt(np.mean(np.square(errors))))
        return cls(error, np.mean(inside, axis=(0, 2)) if inside else None, seconds)

    @classmethod
    def mean(cls, results: list["Result"]) -> "Result":
        coverage = None
        if results[0].coverage is not None:
            coverage = np.mean([result.coverage for result in results], axis=0)
        error = float(np.sqrt(np.mean([result.error**2 for result in results])))
        return cls(error, coverage, float(np.mean([result.seconds for result in results])))


def results(name: str, numbers: np.ndarray, horizon: int) -> dict[str, Result]:
    """Return what each method did on a series."""
    first = len(numbers) * 4 // 5
    methods = {"crnn": Crnn(), **comparisons.methods(numbers[:first])}
    for model in comparisons.STATSFORECAST:
        if model in methods:
            methods[model] = comparisons.StatsForecast(model, SEASONS.get(name, 1))
    return {key: Result.of(method, numbers, horizon) for key, method in methods.items()}


def print_table(names: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a simple table of reStructuredText."""
    rows = [names, *rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(names))]
    line = "  ".join("=" * width for width in widths)
    texts = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    print(line, texts[0], line, *texts[1:], line, "", sep="\n")


def coverage(result: Result | None) -> str:
    """Return the shares in percent."""
    if result is None or result.coverage is None:
        return ""
    return " ".join(f"{share:3.0%}" for share in result.coverage).replace("%", "")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quality.forecasts", description=__doc__
    )
    parser.add_argument("name", nargs="*", help="series whose names contain it (default: all)")
    chosen = parser.parse_args().name
    for every in ([series()], [held_out(seed) for seed in SEEDS]):
        found = {}
        for name, (_, horizon) in every[0].items():
            if not chosen or any(word in name for word in chosen):
                runs = [results(name, *one[name]) for one in every]
                # A season is not found in every series of a kind.
                keys = [key for key in runs[0] if all(key in run for run in runs)]
                found[name, horizon] = {
                    key: Result.mean([run[key] for run in runs]) for key in keys
                }
                print(".", end="", flush=True)
        if not found:
            continue
        print("\n\nRoot mean square errors, and seconds of fitting\n")
        print_table(
            ["Series", "Horizon", *COLUMNS.values(), "Seconds of crnn, AutoETS, AutoARIMA"],
            [
                [
                    name,
                    str(horizon),
                    *(f"{row[key].error:.4g}" if key in row else "" for key in COLUMNS),
                    ", ".join(f"{row[key].seconds:.1f}" for key in WITH_BANDS if key in row),
                ]
                for (name, horizon), row in found.items()
            ],
        )
        print("Numbers inside the bands of 80, 90 and 95 %, in percent\n")
        print_table(
            ["Series", *WITH_BANDS],
            [
                [name, *(coverage(row.get(key)) for key in WITH_BANDS)]
                for (name, _), row in found.items()
            ],
        )


if __name__ == "__main__":
    main()
