"""Properties of a recurrent network that hold for every size and every input, with Hypothesis."""

import network_problems
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from network_problems import CELLS, packed, unpacked

import crnn

# Sizes past one vector of 8 float64 and past the widest row remainder, small enough to be quick.
sizes = st.integers(1, 11)
seeds = st.integers(0, 2**32 - 1)

# The same examples every time; without a time limit for one, which a busy machine would exceed.
few = settings(max_examples=30, deadline=None, derandomize=True)


@st.composite
def problems(draw, *, least_batch=1, least_steps=1, one_way=False, cells=tuple(CELLS)):
    """Arguments of a network, and B, T and a seed for its data."""
    layers = draw(st.integers(1, 2))
    return {
        "B": draw(st.integers(least_batch, 6)),
        "T": draw(st.integers(least_steps, 9)),
        "cell": draw(st.sampled_from(cells)),
        "sizes": (draw(sizes), draw(sizes), draw(sizes)),
        "settings": {
            "dtype": draw(st.sampled_from(network_problems.DTYPES)), "seed": draw(seeds),
            "num_layers": layers, "bidirectional": False if one_way else draw(st.booleans()),
        },
    }  # fmt: skip


@pytest.fixture(scope="session")
def make(implementation):
    """Build the network of a problem."""

    def build(problem):
        return network_problems.network(
            *problem["sizes"], implementation=implementation, **CELLS[problem["cell"]],
            **problem["settings"],
        )  # fmt: skip

    return build


def arrays(net, problem):
    """x, packed h0 and dy."""
    B, T, seed = problem["B"], problem["T"], problem["settings"]["seed"]
    x = network_problems.inputs(net, B, T, seed)
    h0 = network_problems.random_state(net, B, seed + 1)
    return x, h0, network_problems.targets(net, B, T, seed + 2)


@few
@given(problem=problems(least_batch=2))
def test_a_row_of_the_batch_is_the_sequence_alone(make, assert_close, problem):
    net = make(problem)
    x, h0, dy = arrays(net, problem)
    tape = net.forward(x, unpacked(net, h0))
    grads = net.backward(tape, dy)
    for row in range(problem["B"]):
        alone = net.forward(x[row], unpacked(net, h0[..., row, :]))
        assert_close(alone.y, tape.y[row], dtype=net.dtype)
        assert_close(packed(alone.h_n), packed(tape.h_n)[..., row, :], dtype=net.dtype)
        alone_grads = net.backward(alone, dy[row])
        assert_close(alone_grads.x, grads.x[row], dtype=net.dtype)
        assert_close(packed(alone_grads.h0), packed(grads.h0)[..., row, :], dtype=net.dtype)


@few
@given(problem=problems(least_batch=2))
def test_the_order_of_sequences_does_not_matter(make, assert_close, problem):
    net = make(problem)
    x, h0, dy = arrays(net, problem)
    rng = np.random.default_rng(problem["settings"]["seed"])
    order = rng.permutation(problem["B"])
    lengths = rng.integers(1, problem["T"] + 1, problem["B"])
    tape = net.forward(x, unpacked(net, h0), lengths=lengths)
    other = net.forward(x[order], unpacked(net, h0[..., order, :]), lengths=lengths[order])
    assert_close(other.y, tape.y[order], dtype=net.dtype)
    assert_close(packed(other.h_n), packed(tape.h_n)[..., order, :], dtype=net.dtype)
    grads, other_grads = net.backward(tape, dy), net.backward(other, dy[order])
    assert_close(other_grads.flat, grads.flat, dtype=net.dtype)
    assert_close(other_grads.x, grads.x[order], dtype=net.dtype)


@few
@given(problem=problems(least_steps=2, one_way=True), data=st.data())
def test_splitting_and_carrying_the_state_gives_the_whole(make, assert_close, problem, data):
    net = make(problem)
    x, h0, dy = arrays(net, problem)
    h0 = unpacked(net, h0)
    cut = data.draw(st.integers(1, problem["T"] - 1))
    whole, h_n = net.predict(x, h0, return_state=True)
    first, h_cut = net.predict(x[:, :cut], h0, return_state=True)
    second, h_end = net.predict(x[:, cut:], h_cut, return_state=True)
    assert_close(np.concatenate([first, second], axis=1), whole, dtype=net.dtype)
    assert_close(packed(h_end), packed(h_n), dtype=net.dtype)
    # Gradients pass over the cut by dh_n.
    expected = net.backward(net.forward(x, h0), dy)
    first_tape = net.forward(x[:, :cut], h0)
    second_tape = net.forward(x[:, cut:], first_tape.h_n)
    later = net.backward(second_tape, dy[:, cut:])
    earlier = net.backward(first_tape, dy[:, :cut], later.h0)
    assert_close(earlier.flat + later.flat, expected.flat, dtype=net.dtype)
    assert_close(np.concatenate([earlier.x, later.x], axis=1), expected.x, dtype=net.dtype)
    assert_close(packed(earlier.h0), packed(expected.h0), dtype=net.dtype)


@few
@given(problem=problems(least_batch=2), data=st.data())
def test_gradients_add_over_the_batch(make, assert_close, problem, data):
    net = make(problem)
    x, _, dy = arrays(net, problem)
    cut = data.draw(st.integers(1, problem["B"] - 1))
    whole = net.backward(net.forward(x), dy).flat
    parts = [
        net.backward(net.forward(x[part]), dy[part]).flat for part in (slice(cut), slice(cut, None))
    ]
    assert_close(parts[0] + parts[1], whole, dtype=net.dtype)


@few
@given(problem=problems())
def test_gradients_are_linear_in_dy(make, assert_close, problem):
    net = make(problem)
    x, h0, dy = arrays(net, problem)
    other = np.random.default_rng(5).standard_normal(dy.shape).astype(net.dtype)
    tape = net.forward(x, unpacked(net, h0))
    together = net.backward(tape, 2 * dy - other)
    apart = [net.backward(tape, part) for part in (dy, other)]
    # The difference may cancel; its error is that of the terms, so those are compared.
    assert_close(together.flat + apart[1].flat, 2 * apart[0].flat, dtype=net.dtype)
    assert_close(together.x + apart[1].x, 2 * apart[0].x, dtype=net.dtype)


@few
@given(problem=problems(one_way=True), data=st.data())
def test_the_future_does_not_reach_the_past(make, problem, data):
    net = make(problem)
    x, h0, dy = arrays(net, problem)
    h0 = unpacked(net, h0)
    step = data.draw(st.integers(0, problem["T"] - 1))
    later = x.copy()
    later[:, step] += 1
    before, after = net.predict(x, h0), net.predict(later, h0)
    assert np.array_equal(before[:, :step], after[:, :step])
    # And the gradient of a loss at one step reaches no later input.
    dy[:, :step] = 0
    dy[:, step + 1 :] = 0
    grads = net.backward(net.forward(x, h0), dy)
    assert not grads.x[:, step + 1 :].any()


@few
@given(problem=problems(), data=st.data())
def test_strides_of_the_input_do_not_matter(make, problem, data):
    net = make(problem)
    x, h0, dy = arrays(net, problem)

    def spread(values):
        """The same values in a larger array of NaN, with steps between them."""
        steps = data.draw(st.tuples(*[st.sampled_from([1, 2, -1, -2])] * values.ndim))
        padding = data.draw(st.tuples(*[st.integers(0, 3)] * values.ndim))
        shape = [
            size * abs(step) + pad
            for size, step, pad in zip(values.shape, steps, padding, strict=True)
        ]
        large = np.full(shape, np.nan, values.dtype)
        view = large[tuple(slice(None, None, step) for step in steps)]
        view = view[tuple(slice(size) for size in values.shape)]
        view[...] = values
        return view

    plain = net.forward(x, unpacked(net, h0))
    strided = net.forward(spread(x), unpacked(net, spread(h0)))
    assert np.array_equal(strided.y, plain.y)
    assert np.array_equal(packed(strided.h_n), packed(plain.h_n))
    expected, actual = net.backward(plain, dy), net.backward(strided, spread(dy))
    assert np.array_equal(actual.flat, expected.flat)
    assert np.array_equal(actual.x, expected.x)
    assert np.array_equal(packed(actual.h0), packed(expected.h0))


ONE_LAYER = st.tuples(sizes, sizes, sizes, seeds, st.sampled_from(network_problems.DTYPES))


def one_layer(make, of):
    """An RNN of one layer and its data."""
    problem = {
        "B": 3,
        "T": 6,
        "cell": "tanh",
        "sizes": of[:3],
        "settings": {"seed": of[3], "dtype": of[4]},
    }
    net = make(problem)
    return net, *arrays(net, problem)


@few
@given(of=ONE_LAYER)
def test_the_order_of_hidden_units_does_not_matter(make, assert_close, of):
    (net, x, h0, dy), renamed = one_layer(make, of), one_layer(make, of)[0]
    order = np.random.default_rng(of[3]).permutation(of[1])
    renamed.W_xh[...] = net.W_xh[order]
    renamed.W_hh[...] = net.W_hh[order][:, order]
    renamed.b_h[...] = net.b_h[order]
    renamed.W_hy[...] = net.W_hy[:, order]
    tape, renamed_tape = net.forward(x, h0), renamed.forward(x, h0[:, order])
    assert_close(renamed_tape.h, tape.h[..., order], dtype=net.dtype)
    assert_close(renamed_tape.y, tape.y, dtype=net.dtype)
    grads, renamed_grads = net.backward(tape, dy), renamed.backward(renamed_tape, dy)
    assert_close(renamed_grads["W_hh"], grads["W_hh"][order][:, order], dtype=net.dtype)
    assert_close(renamed_grads.x, grads.x, dtype=net.dtype)


@few
@given(of=ONE_LAYER)
def test_a_network_is_odd_when_its_biases_change_sign_too(make, assert_close, of):
    (net, x, h0, _), mirrored = one_layer(make, of), one_layer(make, of)[0]
    mirrored.b_h[...] *= -1
    mirrored.b_y[...] *= -1
    assert_close(mirrored.predict(-x, -h0), -net.predict(x, h0), dtype=net.dtype)


@few
@given(of=ONE_LAYER)
def test_states_stay_within_one(make, of):
    net, x, h0, _ = one_layer(make, of)
    net.flat_params[...] *= 50
    assert np.abs(net.forward(x, h0).h).max() <= 1


@few
@given(problem=problems(), loss=st.sampled_from(["mse", "sse", "cross_entropy"]))
def test_mean_loss_of_a_batch_is_the_mean_over_its_sequences(make, problem, loss):
    net = make(problem)
    x = arrays(net, problem)[0]
    B, T = problem["B"], problem["T"]
    y = network_problems.targets(net, B, T, classes=loss == "cross_entropy")
    alone = [net.loss(x[row], y[row], loss) for row in range(B)]
    expected = np.sum(alone) if loss == "sse" else np.mean(alone)
    # A softmax over one class has loss zero, which has no magnitude to be relative to.
    assert net.loss(x, y, loss) == pytest.approx(
        expected, rel=1e-5 if net.dtype == np.float32 else 1e-13, abs=1e-6
    )


@few
@given(problem=problems(), batch_size=st.integers(1, 7), loss=st.sampled_from(["mse", "sse"]))
def test_reported_loss_does_not_depend_on_the_batches(make, problem, batch_size, loss):
    net = make(problem)
    x, _, y = arrays(net, problem)
    # Without learning, so that every batch meets the same network.
    optimizer = crnn.SGD(0.0)
    history = net.fit(x, y, epochs=2, batch_size=batch_size, optimizer=optimizer, loss=loss, seed=0)
    expected = net.loss(x, y, loss)
    rel = 1e-5 if net.dtype == np.float32 else 1e-12
    assert history.loss == pytest.approx([expected, expected], rel=rel)
