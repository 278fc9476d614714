"""Errors of `crnn.forecasting` and of common forecasts on several kinds of series.

`python -m benchmarks.quality.forecasts` prints root mean square errors on the last fifth of each
series.
"""

import time

import numpy as np

from crnn.datasets import sunspots
from crnn.forecasting import Forecaster

# International airline passengers in thousands by month, 1949-1960 (Box and Jenkins 1976, series G)
PASSENGERS = """
112 118 132 129 121 135 148 148 136 119 104 118 115 126 141 135 125 149 170 170 158 133 114 140
145 150 178 163 172 178 199 199 184 162 146 166 171 180 193 181 183 218 230 242 209 191 172 194
196 196 236 235 229 243 264 272 237 211 180 201 204 188 235 227 234 264 302 293 259 229 203 229
242 233 267 269 270 315 364 347 312 274 237 278 284 277 317 313 318 374 413 405 355 306 271 306
315 301 356 348 355 422 465 467 404 347 305 336 340 318 362 348 363 435 491 505 404 359 310 337
360 342 406 396 420 472 548 559 463 407 362 405 417 391 419 461 472 535 622 606 508 461 390 432
"""


def series() -> dict[str, tuple[np.ndarray, int]]:
    """Return each series and how many steps ahead it is forecast."""
    rng = np.random.default_rng(0)
    t = np.arange(1500)
    week = np.array([0, 5, 8, 6, 3, -10, -12])[t % 7]
    year = 10 * np.sin(2 * np.pi * t / 365.25)
    days = 100 + 0.03 * t + week + year + rng.normal(0, 0.2, 1500).cumsum() + rng.normal(0, 2, 1500)
    ar = np.zeros(1000)
    for step in range(2, 1000):
        ar[step] = 1.6 * ar[step - 1] - 0.8 * ar[step - 2] + rng.normal()
    # Mackey and Glass (1977), delay 17, by Euler's method in steps of 0.1
    glass = np.full(15170, 1.2)
    for step in range(170, 15169):
        back = glass[step - 170]
        glass[step + 1] = glass[step] + 0.1 * (0.2 * back / (1 + back**10) - 0.1 * glass[step])
    hours = np.arange(24 * 90)
    load = 0.3 * np.sin(2 * np.pi * hours / 24) + 0.15 * ((hours // 24) % 7 < 5)
    # Henon (1976)
    henon = np.zeros(1000)
    for step in range(2, 1000):
        henon[step] = 1 - 1.4 * henon[step - 1] ** 2 + 0.3 * henon[step - 2]
    return {
        "airline passengers": (np.array(PASSENGERS.split(), float), 12),
        "days with weeks and years": (days, 7),
        "random walk": (rng.normal(size=800).cumsum(), 5),
        "AR(2)": (ar, 5),
        "sunspots by year": (np.asarray(sunspots()[1], float), 5),
        "Mackey-Glass": (glass[170::10], 10),
        "hours of weeks": (50 * np.exp(load + rng.normal(0, 0.05, len(load))), 24),
        "Henon's map": (henon + rng.normal(0, 0.02, 1000), 1),
        "trend with noise": (np.arange(200) / 2 + rng.normal(0, 1, 200), 5),
    }


def main() -> None:
    """Print the table."""
    for name, (numbers, horizon) in series().items():
        first, start = len(numbers) * 4 // 5, time.perf_counter()
        model = Forecaster().fit(numbers[:first], horizon=horizon)
        seconds = time.perf_counter() - start
        scores = model.scores(numbers, first=first, horizon=horizon)
        errors = ", ".join(f"{method} {square:.4g}" for method, (square, _) in scores.items())
        print(f"{name:26s} {horizon:3d} ahead  {seconds:4.1f} s  {errors}", flush=True)


if __name__ == "__main__":
    main()
