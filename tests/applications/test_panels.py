"""Panels: many forecasters, whose networks are trained side by side."""

import numpy as np
import pytest

import crnn
from crnn.forecasting import Forecaster, Panel, fleets

N = 9


def henon(n, seed):
    """Henon's map (1976) with noise, which a network forecasts better than a linear model."""
    rng, x = np.random.default_rng(seed), np.zeros(n)
    for t in range(2, n):
        x[t] = 1 - 1.4 * x[t - 1] ** 2 + 0.3 * x[t - 2]
    return x + rng.normal(0, 0.01, n)


@pytest.fixture
def series():
    """Of different lengths, but of as many batches."""
    return {f"s{n}": henon(130 + n, n) for n in range(N)}


@pytest.fixture
def fleet_sizes(monkeypatch):
    """The sizes of the fleets that are trained."""
    sizes, fit = [], crnn.Fleet.fit

    def counted(fleet, *arguments, **settings):
        sizes.append(len(fleet))
        return fit(fleet, *arguments, **settings)

    monkeypatch.setattr(crnn.Fleet, "fit", counted)
    return sizes


def forecaster(**settings):
    return Forecaster(**{"hidden_size": 8, "window": 10, "epochs": 150, "season": 0} | settings)


def test_each_model_is_as_it_would_be_alone(series, fleet_sizes):
    # Two do not belong to the fleet of the others, and are fewer than a fleet.
    settings = {"s3": {"cell": "gru"}, "s5": {"epochs": 2}}
    series |= {f"t{n}": henon(132, N + n) for n in range(2)}
    models = {name: forecaster(**settings.get(name, {})) for name in series}
    panel = Panel(models).fit({name: one[:110] for name, one in series.items()})
    assert fleet_sizes[0] == N
    panel.refit(series)
    assert any(model.share > 0 for model in panel.values())
    count = len(fleet_sizes)
    for name, one in series.items():
        alone = forecaster(**settings.get(name, {})).fit(one[:110]).refit(one)
        assert alone.share == panel[name].share
        assert alone.recipe == panel[name].recipe
        np.testing.assert_allclose(
            panel[name].forecast(one, 3), alone.forecast(one, 3), rtol=1e-3, atol=1e-4
        )
        np.testing.assert_allclose(
            panel[name].net.flat_params, alone.net.flat_params, rtol=0.02, atol=1e-3
        )
        np.testing.assert_allclose(
            panel[name].intervals(one, 2), alone.intervals(one, 2), rtol=1e-3, atol=1e-4
        )
    assert len(fleet_sizes) == count


def test_columns_belong_to_their_series(series):
    rng = np.random.default_rng(0)
    known = {name: rng.normal(size=(len(one), 1)) for name, one in series.items()}
    series = {name: one + 3 * known[name][:, 0] for name, one in series.items()}
    panel = Panel({name: forecaster(epochs=1) for name in series}).fit(series, None, known)
    assert [model.num_known for model in panel.values()] == [1] * N
    alone = forecaster(epochs=1).fit(series["s4"], known=known["s4"])
    ahead = np.vstack([known["s4"], [[2.0]]])
    expected = alone.forecast(series["s4"], 1, known=ahead)
    np.testing.assert_allclose(panel["s4"].forecast(series["s4"], 1, known=ahead), expected, 1e-4)


def test_a_series_that_cannot_be_learned_from_is_named_and_nothing_changes(series):
    panel = Panel({name: forecaster(epochs=1) for name in series})
    series["s7"][50] = np.nan
    with pytest.raises(ValueError, match=r"^shop 's7': series: expected finite numbers"):
        panel.fit(series, label="shop")
    series["s7"] = series["s7"][:12]
    with pytest.raises(ValueError, match=r"^series 's7': series: expected at least"):
        panel.fit(series)
    with pytest.raises(AttributeError, match="learned nothing yet"):
        panel["s0"].recipe  # noqa: B018


def test_names_that_do_not_fit_are_refused(series):
    panel = Panel({name: forecaster() for name in series})
    with pytest.raises(ValueError, match=r"^series: expected a mapping with the 9 names of the mo"):
        panel.fit({name: one for name, one in series.items() if name != "s2"})
    with pytest.raises(ValueError, match=r"^known: expected a mapping .* got \[\]$"):
        panel.fit(series, None, [])


def test_a_training_that_diverges_changes_nothing(series, monkeypatch):
    monkeypatch.setattr(fleets, "LEARNING_RATE", 3e38)
    panel = Panel({name: forecaster() for name in series})
    with pytest.raises(crnn.DivergenceError, match="epoch 1"):
        panel.fit(series)
    with pytest.raises(AttributeError, match="learned nothing yet"):
        panel["s0"].recipe  # noqa: B018
