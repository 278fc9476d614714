"""Fleets: each model is as the same network alone, whatever the others are."""

import copy
import json
import pickle
import re

import numpy as np
import pytest
from network_problems import ALL_CELLS, CELLS, network

import crnn
from crnn import archive

N, B, T, I, O = 18, 5, 7, 3, 2
DTYPES = ("float32", "float64")
# Fleets of few units sum in another order than networks alone. Differences grow from step to step:
# these are after up to 20.
TOLERANCES = {
    "float32": {"rtol": 2e-3, "atol": 1e-4},
    "float64": {"rtol": 1e-9, "atol": 1e-12},
}
FORMS = ("shared", "one sequence", "own", "own targets", "ragged")


@pytest.fixture(params=[2, 17], ids=["lanes", "many units"])
def hidden_size(request):
    return request.param


def fleet_of(implementation, hidden_size, cell="gru", dtype="float64", n=N, **settings):
    net = network(
        I, hidden_size, O, dtype=dtype, implementation=implementation, **ALL_CELLS[cell], **settings
    )
    return crnn.Fleet(net, n, seed=3)


def data(form, seed=0):
    """Return x and y for the fleet, and as functions of a model's number for networks alone."""
    rng = np.random.default_rng(seed)

    def normal(*shape):
        return rng.normal(size=shape)

    if form == "ragged":
        lengths = [rng.integers(1, 9, rng.integers(1, 8)) for _ in range(N)]
        x = [[normal(steps, I) for steps in of_model] for of_model in lengths]
        y = [[normal(len(one), O) for one in of_model] for of_model in x]
        return x, y, lambda n: x[n], lambda n: y[n]
    x = {"shared": normal(B, T, I), "one sequence": normal(T, I), "own": normal(N, B, T, I),
         "own targets": normal(B, T, I)}[form]  # fmt: skip
    y = {"shared": normal(B, T, O), "one sequence": normal(T, O), "own": normal(N, B, T, O),
         "own targets": normal(N, B, T, O)}[form]  # fmt: skip
    own_y = form in ("own", "own targets")
    return x, y, lambda n: x[n] if form == "own" else x, lambda n: y[n] if own_y else y


def alone(fleet, n):
    """Return the network of model n as its seed makes it, with a vector of its own."""
    net = copy.deepcopy(fleet[n])
    assert not np.shares_memory(net.flat_params, fleet.flat_params)
    return net


def test_generators_order_the_sequences(implementation, hidden_size):
    fleet = fleet_of(implementation, hidden_size)
    x, y, x_of, y_of = data("own")
    settings = {"epochs": 2, "batch_size": 2}
    nets = [alone(fleet, n) for n in range(N)]
    for rounds in range(2):
        # Both go on where they are.
        if not rounds:
            rngs, others = ([np.random.default_rng(n) for n in range(N)] for _ in range(2))
        fleet.fit(x, y, seed=rngs, **settings)
        for n, net in enumerate(nets):
            net.fit(x_of(n), y_of(n), seed=others[n], **settings)
            np.testing.assert_allclose(fleet.flat_params[n], net.flat_params, rtol=1e-9, atol=1e-12)
    with pytest.raises(ValueError, match=r"^seed: expected 18 generators, one a model, got 1$"):
        fleet.fit(x, y, seed=[rngs[0]] * N, **settings)
    with pytest.raises(ValueError, match=r"^seed: expected 18 seeds, one a model, got 2$"):
        fleet.fit(x, y, epochs=1, seed=[1, 2])


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_seeds_make_the_parameters_of_networks_alone(implementation, cell, dtype):
    settings = dict(CELLS[cell])
    family = getattr(crnn, settings.pop("family"))
    fleet = crnn.Fleet(family(I, 5, O, dtype=dtype, **settings), n=7, seed=11)
    assert (
        fleet.seeds == crnn.Fleet(family(I, 5), n=3, seed=11).seeds.tolist() + [*fleet.seeds[3:]]
    ).all()
    assert len(set(fleet.seeds.tolist())) == len(fleet) == 7
    for n, net in enumerate(fleet):
        same = family(I, 5, O, dtype=dtype, seed=int(fleet.seeds[n]), **settings)
        assert net.flat_params.tobytes() == same.flat_params.tobytes()
    listed = crnn.Fleet(family(I, 5, O, dtype=dtype, **settings), seed=fleet.seeds[[4, 2]])
    assert listed.flat_params.tobytes() == fleet.flat_params[[4, 2]].tobytes()
    uniform = crnn.Fleet(fleet.architecture, 2, init="uniform", dtype=dtype)
    same = family(I, 5, O, dtype=dtype, init="uniform", seed=int(uniform.seeds[1]), **settings)
    assert uniform[1].flat_params.tobytes() == same.flat_params.tobytes()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("cell", ALL_CELLS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_predictions_and_losses_are_those_of_the_networks(
    implementation, hidden_size, cell, dtype, form
):
    fleet = fleet_of(implementation, hidden_size, cell, dtype)
    x, y, x_of, y_of = data(form)
    outputs, losses = fleet.predict(x), fleet.loss(x, y, "huber")
    assert losses.shape == (N,)
    for n, net in enumerate(fleet):
        expected = net.predict(x_of(n))
        for one, other in zip(outputs[n], expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
        assert losses[n] == pytest.approx(net.loss(x_of(n), y_of(n), "huber"), rel=1e-5)


@pytest.mark.parametrize(
    ("form", "loss"), [*((form, "mse") for form in FORMS), ("own", crnn.losses.Huber(0.4))]
)
@pytest.mark.parametrize("dtype", DTYPES)
def test_steps_are_those_of_the_networks(implementation, hidden_size, dtype, form, loss):
    fleet = fleet_of(implementation, hidden_size, "lstm", dtype)
    nets = [alone(fleet, n) for n in range(N)]
    x, y, x_of, y_of = data(form)
    optimizer, optimizers = crnn.AdamW(0.02), [crnn.AdamW(0.02) for _ in nets]
    for _ in range(4):
        losses = fleet.train_step(x, y, optimizer, loss, clip_norm=0.3)
        expected = [
            net.train_step(x_of(n), y_of(n), one, loss, clip_norm=0.3)
            for n, (net, one) in enumerate(zip(nets, optimizers, strict=True))
        ]
        np.testing.assert_allclose(losses, expected, rtol=1e-5 if dtype == "float32" else 1e-12)
    for n, net in enumerate(nets):
        np.testing.assert_allclose(fleet.flat_params[n], net.flat_params, **TOLERANCES[dtype])


@pytest.mark.parametrize("form", FORMS)
def test_fit_is_that_of_the_networks(implementation, hidden_size, form):
    """With early stops, best parameters, and numbers that differ between models."""
    fleet = fleet_of(implementation, hidden_size)
    nets = [alone(fleet, n) for n in range(N)]
    x, y, x_of, y_of = data(form)
    x_val, y_val, x_val_of, y_val_of = data(form, seed=1)
    lr, decay = np.linspace(0.001, 0.1, N), np.linspace(0, 0.1, N)
    history = fleet.fit(
        x, y, epochs=5, batch_size=2, optimizer=crnn.RMSprop(momentum=0.5), lr=lr,
        weight_decay=decay, loss="mse", clip_value=0.2, validation_data=(x_val, y_val), patience=2,
    )  # fmt: skip
    assert len(set(history.epochs.tolist())) > 1
    for n, net in enumerate(nets):
        expected = net.fit(
            x_of(n), y_of(n), epochs=5, batch_size=2,
            optimizer=crnn.RMSprop(lr[n], momentum=0.5, weight_decay=decay[n]), clip_value=0.2,
            validation_data=(x_val_of(n), y_val_of(n)), patience=2, seed=int(fleet.seeds[n]),
        )  # fmt: skip
        epochs = len(expected.loss)
        assert history.epochs[n] == epochs
        assert history.best_epoch[n] == expected.best_epoch
        for name in ("loss", "val_loss", "grad_norm"):
            values = getattr(history, name)[:, n]
            np.testing.assert_allclose(values[:epochs], getattr(expected, name), rtol=1e-5)
            assert np.isnan(values[epochs:]).all()
        np.testing.assert_allclose(fleet.flat_params[n], net.flat_params, rtol=1e-5, atol=1e-7)


def check_fits(fleet, nets, history, fit):
    """Check what a fleet's fit gives against `fit(n, net)` of some networks alone."""
    for n in range(0, N, 5):
        net = nets[n]
        one = fit(n, net)
        epochs = len(one.loss)
        assert history.epochs[n] == epochs
        assert history.best_epoch[n] == one.best_epoch
        np.testing.assert_allclose(history.loss[:epochs, n], one.loss, rtol=1e-8)
        np.testing.assert_allclose(history.val_loss[:epochs, n], one.val_loss, rtol=1e-8)
        np.testing.assert_allclose(fleet.flat_params[n], net.flat_params, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(("form", "monitor"), [("shared", None), ("own", "loss"), ("ragged", None)])
def test_a_fraction_is_validation_data(implementation, hidden_size, form, monitor):
    fleet = fleet_of(implementation, hidden_size)
    nets = [alone(fleet, n) for n in range(N)]
    rng = np.random.default_rng(1)
    if form == "ragged":
        lengths = [rng.integers(1, 9, 2 + n % 6) for n in range(N)]
        x = [[rng.normal(size=(steps, I)) for steps in own] for own in lengths]
        y = [[rng.normal(size=(steps, O)) for steps in own] for own in lengths]
        mask = [[rng.random(steps) + 0.1 for steps in own] for own in lengths]
        of = [(x[n], y[n], mask[n]) for n in range(N)]
    else:
        shape = (9, T) if form == "shared" else (N, 9, T)
        x, y = rng.normal(size=(*shape, I)), rng.normal(size=(*shape, O))
        mask = rng.random(shape) + 0.1
        of = [(x, y, mask) if form == "shared" else (x[n], y[n], mask[n]) for n in range(N)]
    settings = {"epochs": 4, "batch_size": 3, "validation_fraction": 0.3, "patience": 1}
    settings |= {"monitor": monitor, "min_delta": 0.01}
    history = fleet.fit(x, y, mask=mask, **settings)
    assert len(set(history.epochs.tolist())) > 1

    def fit(n, net):
        return net.fit(*of[n][:2], mask=of[n][2], seed=int(fleet.seeds[n]), **settings)

    check_fits(fleet, nets, history, fit)


@pytest.mark.parametrize("key", ["lengths", "mask"])
def test_validation_data_may_have_lengths_and_masks(implementation, hidden_size, key):
    fleet = fleet_of(implementation, hidden_size)
    nets = [alone(fleet, n) for n in range(N)]
    x, y, _, _ = data("shared")
    x_val, y_val, _, _ = data("own", seed=1)
    rng = np.random.default_rng(2)
    values = rng.integers(1, T, (N, B)) if key == "lengths" else rng.random((N, B, T)) + 0.1
    validation = {"x": x_val, "y": y_val, key: values}
    history = fleet.fit(x, y, epochs=2, batch_size=3, validation_data=validation)

    def fit(n, net):
        own = {"x": x_val[n], "y": y_val[n], key: values[n]}
        settings = {"epochs": 2, "batch_size": 3, "seed": int(fleet.seeds[n])}
        return net.fit(x, y, validation_data=own, **settings)

    check_fits(fleet, nets, history, fit)
    with pytest.raises(
        ValueError, match=r"^validation_data: expected a dictionary with the keys x"
    ):
        fleet.fit(x, y, epochs=1, validation_data=(x, y), lengths=[T] * B)


def test_parts_in_which_nothing_counts_are_reported(implementation):
    fleet = fleet_of(implementation, 2)
    x, y, _, _ = data("own")
    mask = np.ones((N, B, T))
    mask[3, -1] = 0
    mask[5, :-1] = 0
    with pytest.warns(RuntimeWarning, match="2 models, their data do not fit: model 3: validation"):
        history = fleet.fit(x, y, epochs=2, mask=mask, validation_fraction=0.2)
    assert set(history.errors) == {3, 5}
    assert history.errors[3] == f"validation data: {history.errors[5]}"
    assert (history.epochs == [0 if n in (3, 5) else 2 for n in range(N)]).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_model_has_the_same_bits_in_any_fleet(implementation, hidden_size, dtype):
    def trained(models):
        fleet = fleet_of(implementation, hidden_size, dtype=dtype)[models]
        x, y, _, _ = data("ragged")
        x, y = [x[n] for n in models], [y[n] for n in models]
        fleet.fit(x, y, epochs=3, batch_size=2, patience=1, validation_data=data("shared")[:2])
        return fleet.flat_params

    every = trained(range(N))
    assert trained([5]).tobytes() == every[5].tobytes()
    assert trained([9, 1, 4, 17]).tobytes() == every[[9, 1, 4, 17]].tobytes()


@pytest.mark.parametrize("form", ["shared", "own", "ragged"])
@pytest.mark.parametrize("loss", ["mse", "cross_entropy", "binary_cross_entropy"])
def test_masks_are_those_of_the_networks(implementation, hidden_size, loss, form):
    fleet = fleet_of(implementation, hidden_size)
    x, y, x_of, _ = data(form)
    rng = np.random.default_rng(4)

    def target_of(values):
        if loss == "cross_entropy":
            return values.argmax(axis=-1)
        return 1 / (1 + np.exp(-values)) if loss == "binary_cross_entropy" else values

    def mask_of(values):
        mask = rng.random(values.shape[:-1]) * (rng.random(values.shape[:-1]) < 0.7)
        mask[..., 0] = 1
        return mask

    if form == "ragged":
        mask = [[mask_of(one) for one in of_model] for of_model in y]
        y = [[target_of(one) for one in of_model] for of_model in y]
        masks = mask
    else:
        mask, y = mask_of(y), target_of(y)
        masks = mask if form == "own" else [mask] * N
    targets = [y] * N if form == "shared" else y
    losses = fleet.loss(x, y, loss, mask=mask)
    nets = [alone(fleet, n) for n in range(N)]
    fleet.train_step(x, y, crnn.SGD(0.1), loss, mask=mask)
    for n, net in enumerate(nets):
        arguments = (x_of(n), targets[n])
        assert losses[n] == pytest.approx(net.loss(*arguments, loss, mask=masks[n]))
        net.train_step(*arguments, crnn.SGD(0.1), loss, mask=masks[n])
        np.testing.assert_allclose(fleet.flat_params[n], net.flat_params, rtol=1e-9, atol=1e-12)


def test_lengths_are_those_of_the_networks(implementation, hidden_size):
    fleet = fleet_of(implementation, hidden_size)
    x, y, _, _ = data("own")
    lengths = np.random.default_rng(5).integers(1, T + 1, (N, B))
    x[np.arange(T) >= lengths[..., None]] = np.nan
    outputs, losses = fleet.predict(x, lengths), fleet.loss(x, y, lengths=lengths)
    for n, net in enumerate(fleet):
        np.testing.assert_allclose(outputs[n], net.predict(x[n], lengths=lengths[n]), atol=1e-12)
        assert losses[n] == pytest.approx(net.loss(x[n], y[n], lengths=lengths[n]))
    shared = np.array([3, 7, 1, 2, 6])
    np.testing.assert_allclose(
        fleet.predict(np.nan_to_num(x[0]), shared)[4],
        fleet[4].predict(np.nan_to_num(x[0]), lengths=shared),
        atol=1e-12,
    )


def test_models_share_their_rows(implementation):
    fleet = fleet_of(implementation, 2)
    x, y, _, _ = data("shared")
    net = fleet[4]
    net.train_step(x, y, crnn.SGD(0.1))
    assert net.flat_params.tobytes() == fleet.flat_params[4].tobytes()
    fleet.flat_params[-1] = 0.5
    assert (fleet[-1].W_hh == 0.5).all()
    assert np.shares_memory(fleet[3:6].flat_params, fleet.flat_params)
    for which in ([3, 5], np.array([3, 5]), np.arange(N) % 8 == 3):
        part = fleet[which]
        assert not np.shares_memory(part.flat_params, fleet.flat_params)
        assert (part.flat_params == fleet.flat_params[which]).all()
        assert (part.seeds == fleet.seeds[which]).all()
    assert repr(fleet[[3, 5]]).endswith("n=2)")
    with pytest.raises(IndexError, match="expected a number below 18, got 18"):
        fleet[18]
    with pytest.raises(IndexError, match="expected at least one, got none"):
        fleet[[]]


def test_bad_data_of_a_model_are_reported_and_the_others_are_trained(implementation, hidden_size):
    for form in ("own", "ragged"):
        fleet, expected = (fleet_of(implementation, hidden_size) for _ in range(2))
        x, y, _, _ = data(form)
        expected.fit(x, y, epochs=2, lr=0.1)
        x, y = copy.deepcopy(x), copy.deepcopy(y)
        x[4][-1][-1, 0], y[9][0][0, 1] = np.nan, np.inf
        before = fleet.flat_params.copy()
        with pytest.warns(RuntimeWarning, match="2 models, their data do not fit: model 4: x"):
            history = fleet.fit(x, y, epochs=2, lr=0.1)
        assert set(history.errors) == {4, 9}
        assert "y: expected finite numbers, got inf" in history.errors[9].replace("y[0]: ", "")
        assert history.epochs.tolist() == [0 if n in (4, 9) else 2 for n in range(N)]
        assert np.isnan(history.loss[:, 4]).all()
        others = [n for n in range(N) if n not in (4, 9)]
        assert (fleet.flat_params[[4, 9]] == before[[4, 9]]).all()
        assert fleet.flat_params[others].tobytes() == expected.flat_params[others].tobytes()
        with pytest.warns(RuntimeWarning, match="their data do not fit"):
            assert np.flatnonzero(np.isnan(fleet.loss(x, y))).tolist() == [4, 9]
        with pytest.raises(ValueError, match=r"4"):
            fleet.predict(x)


@pytest.mark.parametrize("form", ["own", "ragged"])
@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_fleets_of_nothing_but_bad_data_are_reported(implementation, form, loss):
    fleet = fleet_of(implementation, 2)
    x, y, _, _ = data(form)
    if loss == "cross_entropy":
        y = [[one[:, 0] > 0 for one in own] for own in y] if form == "ragged" else y[..., 0] > 0
        y = [[one.astype(int) for one in own] for own in y] if form == "ragged" else y.astype(int)
    for own in x:
        own[0][0, 0] = np.nan
    before = fleet.flat_params.copy()
    with pytest.warns(RuntimeWarning, match="18 models, their data do not fit: model 0: x"):
        assert np.isnan(fleet.loss(x, y, loss)).all()
    with pytest.warns(RuntimeWarning, match="18 models"):
        history = fleet.fit(x, y, epochs=2, loss=loss, validation_data=(x, y))
    assert len(history.errors) == N
    assert not history.epochs.any()
    assert (fleet.flat_params == before).all()


def test_shapes_in_a_list_are_told_from_numbers(implementation):
    """Whatever else is wrong, a shape that does not fit raises, and nothing else."""
    fleet = fleet_of(implementation, 2)
    x, y, _, _ = data("ragged")
    x[3][0][0, 0] = np.nan
    with pytest.warns(RuntimeWarning, match="1 models, their data do not fit: model 3: x"):
        fleet.loss(x, y)
    for wrong in (x[3][0][:, :1], np.zeros((0, I)), x[3][0][None]):
        with pytest.raises(ValueError, match=r"^model 3: "):
            fleet.loss([*x[:3], [wrong, *x[3][1:]], *x[4:]], y)
    mask = [[np.ones(len(one)) for one in own] for own in y]
    mask[5][0][0] = -1
    with pytest.warns(RuntimeWarning, match="2 models, their data do not fit: model 3: x"):
        fleet.loss(x, y, mask=mask)
    mask[5] = mask[4][:1]
    with pytest.raises(ValueError, match=r"^model 5: mask"):
        fleet.loss(x, y, mask=mask)


def test_bad_classes_of_a_model_are_reported(implementation):
    fleet = fleet_of(implementation, 2)
    x, y = data("own")[0], np.zeros((N, B, T), int)
    y[7, 1, 2] = 2
    with pytest.warns(RuntimeWarning, match="model 7: y: expected class numbers from 0 to 1"):
        losses = fleet.train_step(x, y, crnn.SGD(0.1), "cross_entropy")
    assert np.flatnonzero(np.isnan(losses)).tolist() == [7]


def test_a_model_that_diverges_stops_and_the_others_go_on(implementation, hidden_size):
    fleet, expected = (fleet_of(implementation, hidden_size, "relu") for _ in range(2))
    x, y, _, _ = data("shared")
    lr = np.full(N, 0.01)
    lr[6] = 1e200
    others = np.arange(N) != 6
    with pytest.warns(RuntimeWarning, match=r"1 models, they stopped: model 6: the .* step"):
        history = fleet.fit(x, y, epochs=4, optimizer=crnn.SGD(0.1), lr=lr)
    assert list(history.errors) == [6]
    assert history.epochs[6] < 4
    assert (history.epochs[others] == 4).all()
    assert np.isfinite(fleet.flat_params).all()
    assert np.isfinite(history.loss[:, others]).all()
    expected = expected[others]
    expected.fit(x, y, epochs=4, optimizer=crnn.SGD(0.1), lr=0.01)
    assert fleet.flat_params[others].tobytes() == expected.flat_params.tobytes()
    fleet.flat_params[2, 0] = np.nan
    with pytest.warns(RuntimeWarning, match="2 models, their steps were not taken: model 2: the"):
        losses = fleet.train_step(x, y, crnn.SGD(0.01))
    assert np.isnan(losses[2])


def test_optimizers_keep_a_state_for_each_model(implementation):
    x, y, _, _ = data("shared")
    fleet, twin = (fleet_of(implementation, 2) for _ in range(2))
    optimizer = crnn.Adam(0.05)
    fleet.fit(x, y, epochs=3, optimizer=optimizer)
    fleet.fit(x, y, epochs=2, optimizer=optimizer)
    twin.fit(x, y, epochs=5, optimizer=crnn.Adam(0.05))
    assert fleet.flat_params.tobytes() == twin.flat_params.tobytes()
    net = fleet[0]
    other = crnn.Adam(0.05)
    net.train_step(x, y, other)
    with pytest.raises(ValueError, match="optimizer: expected one that is new or belongs to this"):
        fleet.train_step(x, y, other)


def test_schedules_follow_the_steps_of_each_model(implementation):
    def schedule(step):
        return 0.1 / (1 + step)

    x, y, x_of, y_of = data("ragged")
    fleet = fleet_of(implementation, 2)
    nets = [alone(fleet, n) for n in range(N)]
    fleet.fit(x, y, epochs=3, batch_size=2, optimizer=crnn.SGD(schedule))
    for n, net in enumerate(nets):
        net.fit(
            x_of(n), y_of(n), epochs=3, batch_size=2, optimizer=crnn.SGD(schedule),
            seed=int(fleet.seeds[n]),
        )  # fmt: skip
        np.testing.assert_allclose(fleet.flat_params[n], net.flat_params, rtol=1e-8, atol=1e-11)


def test_l1_makes_zeros(implementation):
    x, y, _, _ = data("shared")
    fleet = fleet_of(implementation, 2)
    l1 = np.where(np.arange(N) < 9, 0.0, 5.0)
    fleet.fit(x, y, epochs=60, optimizer=crnn.SGD(0.1), l1=l1)
    zeros = [np.mean(net.W_hh == 0) for net in fleet]
    assert zeros[:9] == [0] * 9
    assert zeros[9:] == [1] * 9
    assert all((net.b_y != 0).all() for net in fleet)


def test_the_best_and_the_table(implementation):
    pd = pytest.importorskip("pandas")
    x, y, _, _ = data("shared")
    fleet = fleet_of(implementation, 2)
    with pytest.raises(ValueError, match="best: expected a fleet that fit has trained"):
        fleet.best()
    y = np.broadcast_to(y, (N, B, T, O)).copy()
    y[3, 0, 0, 0] = np.nan
    with pytest.warns(RuntimeWarning, match="model 3"):
        history = fleet.fit(x, y, epochs=3, lr=np.linspace(0.01, 0.2, N), l1=0.001)
    assert fleet.history is history
    best = fleet.best(N)
    assert len(best) == N - 1
    assert (np.diff(history.best_loss[best]) >= 0).all()
    assert fleet.best(2).tolist() == best[:2].tolist()
    table = history.table()
    assert isinstance(table, pd.DataFrame)
    assert table.index.name == "model"
    assert table["lr"].tolist() == np.linspace(0.01, 0.2, N).tolist()
    assert (table["seed"] == fleet.seeds).all()
    assert table["loss"].isna().tolist() == [n == 3 for n in range(N)]
    assert table["error"][3].startswith("y: expected finite numbers")
    assert table["loss"][best[0]] == history.best_loss[best[0]]


def test_callbacks_see_the_fleet_and_stop_it(implementation):
    seen = []

    def callback(fleet, history):
        seen.append((fleet.flat_params.copy(), len(history.loss)))
        return len(history.loss) == 2

    x, y, _, _ = data("shared")
    fleet = fleet_of(implementation, 2)
    history = fleet.fit(x, y, epochs=9, callbacks=[callback])
    assert [count for _, count in seen] == [1, 2]
    assert (seen[1][0] == fleet.flat_params).all()
    assert (seen[0][0] != fleet.flat_params).any()
    assert history.loss.shape == (2, N)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"num_layers": 2}, "num_layers: expected 1, got 2"),
        ({"models": 0}, "models: expected"),
        ({"models": 3}, r"expected float32 \(3, 22\), got float32 \(2, 22\)"),
        ({"bidirectional": True}, r"expected float32 \(2, 43\), got float32 \(2, 22\)"),
        ({"return_sequences": False}, "network: expected one layer in one direction"),
        ({"version": 2}, "version"),
    ],
)
def test_files_of_no_fleet(tmp_path, change, match):
    fleet = crnn.Fleet(crnn.RNN(2, 3, 1), 2)
    path = tmp_path / "fleet.npz"
    fleet.save(path)
    with np.load(path) as file:
        arrays = {name: file[name] for name in ("parameters", "seeds")}
        description = json.loads(file["crnn"].tobytes())
    description.pop("checksum", None)
    archive.write(path, description | change, arrays)
    with pytest.raises(crnn.ModelFileError, match=f"^{re.escape(str(path))}: .*{match}"):
        crnn.load(path)


def test_files_and_pickles(implementation, tmp_path):
    fleet = fleet_of(implementation, 2)
    fleet.save(tmp_path / "fleet.npz")
    for twin in (
        crnn.load(tmp_path / "fleet.npz", implementation=implementation),
        pickle.loads(pickle.dumps(fleet)),
        copy.deepcopy(fleet),
    ):
        assert twin.flat_params.tobytes() == fleet.flat_params.tobytes()
        assert (twin.seeds == fleet.seeds).all()
        assert twin.architecture == fleet.architecture
        assert repr(twin) == repr(fleet)
        assert twin.implementation == implementation
        assert (twin.predict(data("shared")[0]) == fleet.predict(data("shared")[0])).all()
        assert not np.shares_memory(twin.flat_params, fleet.flat_params)
    with pytest.raises(crnn.ModelFileError, match="categorical: expected True, got False"):
        crnn.load(tmp_path / "fleet.npz", categorical=True)


ARCHITECTURES = {
    "layers": {"num_layers": 2},
    "both directions": {"bidirectional": True},
    "one output": {"return_sequences": False},
    "trained first states": {"trainable_h0": True},
    "categories": {"categorical": True},
}


@pytest.mark.parametrize("settings", ARCHITECTURES.values(), ids=ARCHITECTURES)
def test_other_architectures_are_refused(settings):
    with pytest.raises(ValueError, match="network: expected one layer in one direction"):
        crnn.Fleet(crnn.GRU(3, 2, 2, **settings), n=3)


X, Y = np.zeros((B, T, I)), np.zeros((B, T, O))
REFUSALS = {
    "lr": ({"lr": np.ones(3)}, "lr: expected a number or shape (models=18,), got (3,)"),
    "rate below zero": ({"lr": -np.ones(N)}, "lr: expected finite numbers of at least 0, got -1.0"),
    "rate of text": ({"lr": ["a"]}, "lr: expected numbers"),
    "l1": ({"l1": -1.0}, "l1: expected a finite number of at least 0, got -1"),
    "seed": ({"seed": [1, 2]}, "seed: expected 18 seeds, one a model, got 2"),
    "loss": (
        {"loss": crnn.losses.CrossEntropy(label_smoothing=0.1)},
        'loss: expected "mse"',
    ),
    "epochs": ({"epochs": 0}, "epochs: expected at least 1, got 0"),
    "x": ({"x": np.zeros((N, B, T, 4))}, "x: expected shape (models=18, batch=5, time=7, feat"),
    "models": ({"x": np.zeros((N - 1, B, T, I))}, "expected shape (models="),
    "list": ({"x": [X] * 3}, "x: expected a list of 18 data sets, one a model, got 3"),
    "list and array": ({"x": [X] * N}, "y: expected a list of 18 data sets, one a model, got nda"),
    "shape in a list": (
        {"x": [X] * N, "y": [*[Y] * (N - 1), Y[:2]]},
        "model 17: y: expected shape (batch=5, time=7, outputs=2), got (2, 7, 2)",
    ),
    "shared data": ({"x": X + np.nan}, "x: expected finite numbers, got nan"),
    "validation data": ({"validation_data": (X,)}, "validation_data: expected a pair (x, y)"),
    "both": (
        {"validation_data": (X, Y), "validation_fraction": 0.1},
        "validation_fraction: expected only one of validation_fraction and validation_data",
    ),
    "fraction": ({"validation_fraction": 1.0}, "validation_fraction: expected a finite number"),
    "one sequence": (
        {"x": X[:1], "y": Y[:1], "validation_fraction": 0.1},
        "validation_fraction: expected two sequences or more of each model, got 1 of model 0",
    ),
    "monitor": ({"monitor": "val_loss"}, "monitor: expected 'loss', which the run records, got"),
    "direction": ({"monitor": ("loss", "max")}, "monitor: expected a loss, whose lowest is the b"),
    "callbacks": ({"callbacks": [3]}, "callbacks: expected a list of functions, got [3]"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_does_not_fit_is_refused_before_anything_starts(case):
    changed, message = REFUSALS[case]
    fleet = crnn.Fleet(crnn.GRU(I, 2, O), n=N)
    before = fleet.flat_params.copy()
    arguments = {"x": X, "y": Y, "epochs": 2} | changed
    with pytest.raises((ValueError, TypeError), match=re.escape(message)):
        fleet.fit(arguments.pop("x"), arguments.pop("y"), **arguments)
    assert fleet.flat_params.tobytes() == before.tobytes()
    assert fleet.history is None


def test_constructors_that_are_refused():
    net = crnn.GRU(3, 2, 2)
    with pytest.raises(ValueError, match="n: expected the number of models, or a list of seeds"):
        crnn.Fleet(net)
    with pytest.raises(ValueError, match="seed: expected 4 seeds, one a model, got 2"):
        crnn.Fleet(net, 4, seed=[1, 2])
    with pytest.raises(TypeError, match="network: expected a network or its architecture, got str"):
        crnn.Fleet("gru", 3)
    with pytest.raises(ValueError, match="seed: expected at least 0, got -1"):
        crnn.Fleet(net, 3, seed=-1)


@pytest.mark.parametrize("form", ["lists", "lengths"])
def test_equal_lengths_are_shuffled_as_those_of_the_networks(implementation, form):
    # A network batches what came with lengths by length, even where all are equal.
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(2, 7, T, I)), rng.normal(size=(2, 7, T, O))
    lengths = None if form == "lists" else np.full(7, T)
    if form == "lists":
        x, y = [list(one) for one in x], [list(one) for one in y]
    fleet = fleet_of(implementation, 2, n=2)
    networks = [alone(fleet, n) for n in range(2)]
    settings = {"epochs": 3, "batch_size": 3, "seed": 1, "lengths": lengths, "progress": False}
    history = fleet.fit(x, y, **settings)
    for n, net in enumerate(networks):
        expected = net.fit(x[n], y[n], **settings)
        np.testing.assert_allclose(history.loss[:, n], expected.loss, **TOLERANCES["float64"])
        np.testing.assert_allclose(fleet.flat_params[n], net.flat_params, **TOLERANCES["float64"])


@pytest.mark.parametrize("scale", [1.0, 1e20])
def test_histories_do_not_depend_on_the_weights_of_others(implementation, scale):
    rng = np.random.default_rng(6)
    x, y, mask = rng.normal(size=(5, 7, T, I)), rng.normal(size=(5, 7, T, O)), rng.random((5, 7, T))
    mask[0] *= scale
    fleet = fleet_of(implementation, 2, n=5)
    last = crnn.Fleet(fleet[4], seed=fleet.seeds[4:])
    settings = {"epochs": 2, "batch_size": 3, "progress": False}
    of_all = fleet.fit(x, y, mask=mask, **settings)
    of_last = last.fit(x[4:], y[4:], mask=mask[4:], **settings)
    for name in ("loss", "grad_norm"):
        np.testing.assert_array_equal(getattr(of_all, name)[:, 4], getattr(of_last, name)[:, 0])
    assert np.isfinite(of_all.loss).all()


def test_only_slices_of_step_1_share_their_rows(implementation):
    fleet = fleet_of(implementation, 2, n=2)
    assert np.shares_memory(fleet[:1].flat_params, fleet.flat_params)
    # One row, which is contiguous whatever the step is
    assert not np.shares_memory(fleet[::2].flat_params, fleet.flat_params)


@pytest.mark.parametrize("padding", [-1, 99])
def test_classes_past_the_ends_are_not_read(implementation, padding):
    rng = np.random.default_rng(7)
    x, y = rng.normal(size=(3, B, T, I)), rng.integers(0, O, (3, B, T))
    lengths = rng.integers(1, T, (3, B))
    y[np.arange(T) >= lengths[..., None]] = padding
    fleet = fleet_of(implementation, 2, n=3)
    found = fleet.loss(x, y, "cross_entropy", lengths=lengths)
    expected = [fleet[n].loss(x[n], y[n], "cross_entropy", lengths=lengths[n]) for n in range(3)]
    np.testing.assert_allclose(found, expected, **TOLERANCES["float64"])


def test_shared_data_may_have_lengths_of_each_model(implementation):
    rng = np.random.default_rng(8)
    x, y = rng.normal(size=(B, T, I)), rng.normal(size=(B, T, O))
    lengths = rng.integers(1, T, (3, B))
    fleet = fleet_of(implementation, 2, n=3)
    losses, outputs = fleet.loss(x, y, lengths=lengths), fleet.predict(x, lengths=lengths)
    for n in range(3):
        loss = fleet[n].loss(x, y, lengths=lengths[n])
        y_hat = fleet[n].predict(x, lengths=lengths[n])
        np.testing.assert_allclose(losses[n], loss, **TOLERANCES["float64"])
        np.testing.assert_allclose(outputs[n], y_hat, **TOLERANCES["float64"])


@pytest.mark.parametrize("name", ["lengths", "mask"])
def test_what_is_no_array_is_refused_by_name(implementation, name):
    fleet = fleet_of(implementation, 2, n=3)
    with pytest.raises((TypeError, ValueError), match=f"^{name}: "):
        fleet.loss(np.zeros((B, T, I)), np.zeros((B, T, O)), **{name: [[1, 2], [3]]})


@pytest.mark.parametrize("which", [1.5, True, None, "a", [0.5], [[0]]])
def test_what_numbers_no_models_is_refused(implementation, which):
    with pytest.raises(TypeError, match=r"^models: expected ints or bools in a row, got "):
        fleet_of(implementation, 2, n=3)[which]
