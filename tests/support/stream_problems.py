"""Inputs of streams, and the ways to hand them over."""

import numpy as np
from network_problems import inputs, packed, random_state, unpacked

# (I, H, O): every kind of remainder around vectors of 2 to 16 lanes, the constant sizes 8 to 64,
# weights that are and are not small enough to be packed by rows, and no output layer.
SIZES = [
    (1, 8, 1),
    (3, 5, 2),
    (8, 32, 4),
    (2, 16, 17),
    (7, 33, 9),
    (16, 64, 8),
    (70, 70, 3),
    (300, 20, 300),
    (4, 11, None),
]


def in_steps(stream, x):
    """Outputs of x, one step at a time."""
    axis = x.ndim - 2
    steps = [stream.step(np.ascontiguousarray(x.take(t, axis))) for t in range(x.shape[axis])]
    return np.stack(steps, axis)


def in_one_block(stream, x):
    """Outputs of x, all steps at once."""
    return stream.run(x)


def in_blocks(stream, x, seed=7):
    """Outputs of x in random blocks, some of which are single steps."""
    rng = np.random.default_rng(seed)
    axis, T, start, parts = x.ndim - 2, x.shape[-2], 0, []
    while start < T:
        end = min(T, start + int(rng.integers(1, 6)))
        block = np.ascontiguousarray(x.take(range(start, end), axis))
        run = in_steps if end - start == 1 else in_one_block
        parts.append(run(stream, block))
        start = end
    return np.concatenate(parts, axis)


def assert_outputs_of_predict(net, batch, steps=23):
    """Check that a stream has the bits of predict, however x is cut, and its last state."""
    x = inputs(net, batch, steps)
    expected, h_n = net.predict(x, return_state=True)
    assert np.abs(expected).max() > 0.05
    for run in (in_steps, in_one_block, in_blocks):
        stream = net.stream(batch)
        y = run(stream, x)
        assert y.dtype == net.dtype
        assert np.array_equal(y, expected), run.__name__
        assert np.array_equal(packed(stream.state), packed(h_n)), run.__name__


def state_of(net, batch=None, seed=3):
    """A random state in the form of `stream.state`."""
    return unpacked(net, random_state(net, batch, seed))
