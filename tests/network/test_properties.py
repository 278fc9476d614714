"""Properties of a recurrent network that hold for every size and every input, with Hypothesis."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import crnn

# Sizes past one vector of 8 float64 and past the widest row remainder, small enough to be quick.
sizes = st.integers(1, 11)
seeds = st.integers(0, 2**32 - 1)
dtypes = st.sampled_from(["float32", "float64"])

# Deterministic examples, so that the suite passes or fails alike for everyone; a time limit for
# one example would fail on a busy machine.
few = settings(max_examples=30, deadline=None, derandomize=True)


@st.composite
def problems(draw, *, least_batch=1, least_steps=1):
    """Sizes, dtype and seed of one problem."""
    return {
        "B": draw(st.integers(least_batch, 9)),
        "T": draw(st.integers(least_steps, 9)),
        "I": draw(sizes),
        "H": draw(sizes),
        "O": draw(sizes),
        "dtype": draw(dtypes),
        "seed": draw(seeds),
    }


def arrays(problem):
    """x, h0 and the gradient dy of a problem."""
    rng = np.random.default_rng(problem["seed"])

    def normal(*shape):
        return rng.standard_normal(shape).astype(problem["dtype"])

    B, T, I, H, O = (problem[size] for size in "BTIHO")
    return normal(B, T, I), np.tanh(normal(B, H)), normal(B, T, O)


@pytest.fixture(scope="session")
def network_of(build_network):
    def build(problem):
        return build_network(
            input_size=problem["I"],
            hidden_size=problem["H"],
            output_size=problem["O"],
            dtype=problem["dtype"],
            seed=problem["seed"],
        )

    return build


@few
@given(problem=problems(least_batch=2))
def test_a_row_of_the_batch_is_the_sequence_alone(network_of, assert_close, problem):
    net = network_of(problem)
    x, h0, dy = arrays(problem)
    tape = net.forward(x=x, h0=h0)
    grads = net.backward(tape=tape, dy=dy)
    for row in range(problem["B"]):
        alone = net.forward(x=x[row], h0=h0[row])
        assert_close(alone.y, tape.y[row], dtype=net.dtype)
        assert_close(alone.h, tape.h[row], dtype=net.dtype)
        assert_close(alone.h_n, tape.h_n[row], dtype=net.dtype)
        alone_grads = net.backward(tape=alone, dy=dy[row])
        assert_close(alone_grads.x, grads.x[row], dtype=net.dtype)
        assert_close(alone_grads.h0, grads.h0[row], dtype=net.dtype)


@few
@given(problem=problems(least_steps=2), data=st.data())
def test_splitting_and_carrying_the_state_gives_the_whole(network_of, assert_close, problem, data):
    net = network_of(problem)
    x, h0, _ = arrays(problem)
    cut = data.draw(st.integers(1, problem["T"] - 1))
    whole, h_n = net.predict(x=x, h0=h0, return_state=True)
    first, h_cut = net.predict(x=x[:, :cut], h0=h0, return_state=True)
    second, h_end = net.predict(x=x[:, cut:], h0=h_cut, return_state=True)
    assert_close(np.concatenate([first, second], axis=1), whole, dtype=net.dtype)
    assert_close(h_end, h_n, dtype=net.dtype)


@few
@given(problem=problems(least_steps=2), data=st.data())
def test_gradients_pass_over_a_split(network_of, assert_close, problem, data):
    net = network_of(problem)
    x, h0, dy = arrays(problem)
    cut = data.draw(st.integers(1, problem["T"] - 1))
    whole = net.backward(tape=net.forward(x=x, h0=h0), dy=dy)
    first_tape = net.forward(x=x[:, :cut], h0=h0)
    second_tape = net.forward(x=x[:, cut:], h0=first_tape.h_n)
    second = net.backward(tape=second_tape, dy=dy[:, cut:])
    first = net.backward(tape=first_tape, dy=dy[:, :cut], dh_n=second.h0)
    assert_close(first.flat + second.flat, whole.flat, dtype=net.dtype)
    assert_close(np.concatenate([first.x, second.x], axis=1), whole.x, dtype=net.dtype)
    assert_close(first.h0, whole.h0, dtype=net.dtype)


@few
@given(problem=problems(least_batch=2), data=st.data())
def test_gradients_add_over_the_batch(network_of, assert_close, problem, data):
    net = network_of(problem)
    x, h0, dy = arrays(problem)
    cut = data.draw(st.integers(1, problem["B"] - 1))
    whole = net.backward(tape=net.forward(x=x, h0=h0), dy=dy).flat
    parts = [
        net.backward(tape=net.forward(x=x[part], h0=h0[part]), dy=dy[part]).flat
        for part in (slice(cut), slice(cut, None))
    ]
    assert_close(parts[0] + parts[1], whole, dtype=net.dtype)


@few
@given(problem=problems())
def test_gradients_are_linear_in_dy(network_of, assert_close, problem):
    net = network_of(problem)
    x, h0, dy = arrays(problem)
    other = np.random.default_rng(problem["seed"] + 1).standard_normal(dy.shape).astype(net.dtype)
    tape = net.forward(x=x, h0=h0)
    together = net.backward(tape=tape, dy=2 * dy - other)
    apart = [net.backward(tape=tape, dy=part) for part in (dy, other)]
    # The difference may cancel; its error is that of the terms, so those are compared.
    assert_close(together.flat + apart[1].flat, 2 * apart[0].flat, dtype=net.dtype)
    assert_close(together.x + apart[1].x, 2 * apart[0].x, dtype=net.dtype)


@few
@given(problem=problems(), data=st.data())
def test_the_future_does_not_reach_the_past(network_of, problem, data):
    net = network_of(problem)
    x, h0, dy = arrays(problem)
    step = data.draw(st.integers(0, problem["T"] - 1))
    later = x.copy()
    later[:, step] += 1
    before, after = net.predict(x=x, h0=h0), net.predict(x=later, h0=h0)
    assert np.array_equal(before[:, :step], after[:, :step])
    # And the gradient of a loss at one step reaches no later input.
    dy[:, :step] = 0
    dy[:, step + 1 :] = 0
    grads = net.backward(tape=net.forward(x=x, h0=h0), dy=dy)
    assert np.array_equal(grads.x[:, step + 1 :], np.zeros_like(x[:, step + 1 :]))


@few
@given(problem=problems(), data=st.data())
def test_strides_of_the_input_do_not_matter(network_of, assert_close, problem, data):
    net = network_of(problem)
    x, h0, dy = arrays(problem)
    padding = [data.draw(st.integers(0, 3)) for _ in range(6)]

    def spread(values):
        """The same values in a larger array of NaN, with steps between them."""
        steps = data.draw(st.tuples(*[st.sampled_from([1, 2, -1, -2])] * values.ndim))
        shape = [
            size * abs(step) + pad
            for size, step, pad in zip(values.shape, steps, padding, strict=False)
        ]
        large = np.full(shape, np.nan, values.dtype)
        view = large[tuple(slice(None, None, step) for step in steps)]
        view = view[tuple(slice(size) for size in values.shape)]
        view[...] = values
        return view

    plain = net.forward(x=x, h0=h0)
    strided = net.forward(x=spread(x), h0=spread(h0))
    assert_close(strided.y, plain.y, dtype=net.dtype)
    assert_close(strided.h, plain.h, dtype=net.dtype)
    expected = net.backward(tape=plain, dy=dy)
    actual = net.backward(tape=strided, dy=spread(dy))
    assert_close(actual.flat, expected.flat, dtype=net.dtype)
    assert_close(actual.x, expected.x, dtype=net.dtype)
    assert_close(actual.h0, expected.h0, dtype=net.dtype)


@few
@given(problem=problems())
def test_the_order_of_hidden_units_does_not_matter(network_of, assert_close, problem):
    net, renamed = network_of(problem), network_of(problem)
    x, h0, dy = arrays(problem)
    order = np.random.default_rng(problem["seed"]).permutation(problem["H"])
    renamed.W_xh[...] = net.W_xh[order]
    renamed.W_hh[...] = net.W_hh[order][:, order]
    renamed.b_h[...] = net.b_h[order]
    renamed.W_hy[...] = net.W_hy[:, order]
    tape, renamed_tape = net.forward(x=x, h0=h0), renamed.forward(x=x, h0=h0[:, order])
    assert_close(renamed_tape.h, tape.h[..., order], dtype=net.dtype)
    assert_close(renamed_tape.y, tape.y, dtype=net.dtype)
    grads = net.backward(tape=tape, dy=dy)
    renamed_grads = renamed.backward(tape=renamed_tape, dy=dy)
    assert_close(renamed_grads["W_hh"], grads["W_hh"][order][:, order], dtype=net.dtype)
    assert_close(renamed_grads.x, grads.x, dtype=net.dtype)


@few
@given(problem=problems())
def test_a_network_is_odd_when_its_biases_change_sign_too(network_of, assert_close, problem):
    net, mirrored = network_of(problem), network_of(problem)
    x, h0, _ = arrays(problem)
    mirrored.b_h[...] *= -1
    mirrored.b_y[...] *= -1
    assert_close(mirrored.predict(x=-x, h0=-h0), -net.predict(x=x, h0=h0), dtype=net.dtype)


@few
@given(problem=problems())
def test_states_stay_within_one(network_of, problem):
    net = network_of(problem)
    net.flat_params[...] *= 50
    x, h0, _ = arrays(problem)
    assert np.abs(net.forward(x=x, h0=h0).h).max() <= 1


@few
@given(problem=problems(), data=st.data())
def test_mean_loss_of_a_batch_is_the_mean_over_its_sequences(network_of, problem, data):
    net = network_of(problem)
    x, _, y = arrays(problem)
    loss = data.draw(st.sampled_from(["mse", "sse", "cross_entropy"]))
    if loss == "cross_entropy":
        rng = np.random.default_rng(problem["seed"])
        y = rng.integers(problem["O"], size=(problem["B"], problem["T"]))
    alone = [net.loss(x=x[row], y=y[row], loss=loss) for row in range(problem["B"])]
    expected = np.sum(alone) if loss == "sse" else np.mean(alone)
    # A softmax over one class has loss zero, which has no magnitude to be relative to.
    assert net.loss(x=x, y=y, loss=loss) == pytest.approx(
        expected, rel=1e-5 if net.dtype == np.float32 else 1e-13, abs=1e-6
    )


@few
@given(problem=problems(), batch_size=st.integers(1, 10), loss=st.sampled_from(["mse", "sse"]))
def test_reported_loss_does_not_depend_on_the_batches(network_of, problem, batch_size, loss):
    net = network_of(problem)
    x, _, y = arrays(problem)
    history = net.fit(
        x,
        y,
        epochs=2,
        batch_size=batch_size,
        # Without learning, so that every batch meets the same network.
        optimizer=crnn.SGD(lr=0.0),
        loss=loss,
        seed=0,
    )
    expected = net.loss(x=x, y=y, loss=loss)
    rel = 1e-5 if net.dtype == np.float32 else 1e-13
    assert history.loss == pytest.approx([expected, expected], rel=rel)
