"""A model for each of many series: networks trained as fleets, and one by one.

The series are simulated: a season of seven steps, correlated noise, and a fall after each high
number, which a linear model does not see. Errors are those of forecasts of seven steps on the last
fifth of each series.

    python -m benchmarks.speed.panels --series 60
"""

import argparse
import time

import numpy as np

from crnn.forecasting import Forecaster, Panel

LENGTH, TRAINED, HORIZON, SEASON = 400, 320, 7, 7


def simulate(n: int) -> dict[str, np.ndarray]:
    """Return n series by name."""
    rng, t = np.random.default_rng(0), np.arange(LENGTH)
    series = {}
    for k in range(n):
        level, high = 100 + 20 * rng.standard_normal(), 5 + 5 * rng.random()
        noise, values = 4 * rng.standard_normal(LENGTH), np.zeros(LENGTH)
        season = high * np.sin(2 * np.pi * (t + rng.integers(SEASON)) / SEASON)
        rest = 0.0
        for i in range(LENGTH):
            rest = 0.6 * rest + noise[i]
            values[i] = level + season[i] + rest
            if i and values[i - 1] > level + high + 3:
                values[i] -= 15
        series[f"series {k}"] = values
    return series


def measure(series: dict[str, np.ndarray], hidden_size: int, *, together: bool) -> list[float]:
    """Fit to the training rows and then to all, and return both times and the mean error."""
    train = {name: one[:TRAINED] for name, one in series.items()}
    panel = Panel({name: Forecaster(hidden_size=hidden_size) for name in series})
    started = time.perf_counter()
    if together:
        panel.fit(train, horizon=HORIZON)
    else:
        for name, one in train.items():
            panel[name].fit(one, horizon=HORIZON)
    fitted = time.perf_counter()
    errors = [
        panel[name].scores(one, first=TRAINED, horizon=HORIZON)["crnn"][0]
        for name, one in series.items()
    ]
    scored = time.perf_counter()
    if together:
        panel.refit(series)
    else:
        for name, one in series.items():
            panel[name].refit(one)
    return [fitted - started, time.perf_counter() - scored, float(np.mean(errors))]


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=int, default=60)
    parser.add_argument("--hidden", type=int, nargs="+", default=[4, 8, 16, 32])
    options = parser.parse_args()
    series = simulate(options.series)
    print(f"{options.series} series of {LENGTH} rows; seconds, and the mean RMSE")
    print(f"{'units':>5} {'training':>10} {'fit':>8} {'refit':>8} {'RMSE':>8}")
    for hidden_size in options.hidden:
        for name, together in (("a fleet", True), ("one by one", False)):
            fit, refit, error = measure(series, hidden_size, together=together)
            print(f"{hidden_size:>5} {name:>10} {fit:8.2f} {refit:8.2f} {error:8.4f}", flush=True)


if __name__ == "__main__":
    main()
