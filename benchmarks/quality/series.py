"""Series of several kinds for `benchmarks.quality.forecasts`."""

import math

import numpy as np

from crnn.datasets import sunspots

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
    """Return nine series by name, each with how many steps ahead it is forecast."""
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


def held_out(seed: int) -> dict[str, tuple[np.ndarray, int]]:
    """Return series of other kinds, which no constant of crnn was chosen by.

    Parameters
    ----------
    seed : int

    Returns
    -------
    dict of (array, int)
        As `series`.
    """
    rng = np.random.default_rng(seed)
    arma, heavy = np.zeros(700), np.zeros(600)
    shocks, tailed = rng.normal(size=700), rng.standard_t(3, 600)
    for t in range(2, 700):
        arma[t] = 0.6 * arma[t - 1] + 0.2 * arma[t - 2] + shocks[t] + 0.5 * shocks[t - 1]
    for t in range(1, 600):
        heavy[t] = 0.8 * heavy[t - 1] + tailed[t]
    level = 10 + rng.normal(0, 0.3, 500).cumsum() + rng.normal(0, 1, 500)
    outliers = level + (rng.random(500) < 0.02) * rng.normal(0, 10, 500)
    # Changing variance: GARCH(1, 1), Bollerslev (1986)
    returns, variance = np.zeros(500), 2.0
    for t in range(500):
        variance = 0.1 + 0.85 * variance + 0.1 * (returns[t - 1] ** 2 if t else 2.0)
        returns[t] = math.sqrt(variance) * rng.normal()
    years = 2 * np.pi * np.arange(240) / 12
    rising = np.exp(3 + 0.005 * np.arange(96) + 0.3 * np.sin(years[:96]) + rng.normal(0, 0.05, 96))
    steady = 200 + np.arange(240) / 2 + 30 * np.sin(years) + rng.normal(0, 8, 240)
    weeks = np.exp(1 + 0.5 * np.sin(2 * np.pi * np.arange(400) / 7))
    return {
        "ARMA(2, 1)": (arma, 5),
        "8 years of months, rising": (rising, 6),
        "20 years of months": (steady, 12),
        "4 years of months": (100 + 20 * np.sin(years[:48]) + rng.normal(0, 4, 48), 3),
        "level with outliers": (outliers, 5),
        "AR(1), heavy tails": (heavy, 5),
        "counts by day of week": (rng.poisson(weeks).astype(float), 7),
        "short random walk": (rng.normal(size=100).cumsum(), 3),
        "walk of changing variance": (100 + returns.cumsum(), 5),
        "quadratic trend": (np.arange(250) ** 2 / 100 + rng.normal(0, 5, 250), 5),
        "noise": (rng.normal(size=300), 1),
    }
