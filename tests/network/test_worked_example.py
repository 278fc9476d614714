"""The two-step worked example: every number of forward pass, loss and gradients, written out.

The numbers come from mpmath at 50 digits, from the scalar equations below with no matrix, no
NumPy and nothing of this package, and were printed with 20 digits. Each gradient was computed
twice there: from the chain rule as written, and with ``mpmath.diff`` of the loss as a function
of all scalars; the two agreed to all 20 digits. All inputs are dyadic fractions, so that
float32, float64 and mpmath start from the same numbers.

One hidden unit, h_0 = 0, x = [x_1, x_2]::

    h_1 = tanh(W_xh x_1 + W_hh h_0 + b_h)      y_1 = W_hy h_1 + b_y
    h_2 = tanh(W_xh x_2 + W_hh h_1 + b_h)      y_2 = W_hy h_2 + b_y
    L = ((y_1 - t_1)^2 + (y_2 - t_2)^2) / 2
    dy_1 = y_1 - t_1                           dy_2 = y_2 - t_2
    da_2 = W_hy dy_2 (1 - h_2^2)
    da_1 = (W_hy dy_1 + W_hh da_2) (1 - h_1^2)
    dW_xh = da_1 x_1 + da_2 x_2    dW_hh = da_1 h_0 + da_2 h_1    db_h = da_1 + da_2
    dW_hy = dy_1 h_1 + dy_2 h_2    db_y = dy_1 + dy_2
    dx_1 = W_xh da_1               dx_2 = W_xh da_2               dh_0 = W_hh da_1

Two hidden units p and q, h_0 = (p_0, q_0), W_xh = [[u], [v]], W_hh = [[w_pp, w_pq],
[w_qp, w_qq]], b_h = (b, d), W_hy = [[m, n]]::

    p_t = tanh(u x_t + w_pp p_{t-1} + w_pq q_{t-1} + b)
    q_t = tanh(v x_t + w_qp p_{t-1} + w_qq q_{t-1} + d)
    y_t = m p_t + n q_t + b_y
    dp_2 = m dy_2                                 dq_2 = n dy_2
    r_t = dp_t (1 - p_t^2)                        s_t = dq_t (1 - q_t^2)
    dp_1 = m dy_1 + w_pp r_2 + w_qp s_2           dq_1 = n dy_1 + w_pq r_2 + w_qq s_2
    dw_pq = r_1 q_0 + r_2 q_1                     dw_qp = s_1 p_0 + s_2 p_1
    dp_0 = w_pp r_1 + w_qp s_1                    dq_0 = w_pq r_1 + w_qq s_1

and the rest as with one unit. The halved sum of squares (``sse``) and the mean square error
(``mse``) agree in value and gradient here, because there are two steps of one output.
"""

import numpy as np
import pytest

import crnn

X = [[[0.5], [-1.25]]]
TARGET = [[[0.75], [-0.5]]]

ONE_UNIT = {
    "W_xh": [[0.875]],
    "W_hh": [[-0.625]],
    "b_h": [0.125],
    "W_hy": [[1.5]],
    "b_y": [-0.25],
    "h": [[[0.0], [0.50982997373525658249], [-0.85844242262983530984]]],
    "y": [[[0.51474496060288487373], [-1.5376636339447529648]]],
    "loss": 0.56604537538658423375,
    "dy": [[[-0.23525503939711512627], [-1.0376636339447529648]]],
    # W_hy dy_t: what reaches h_t through the outputs, without the recurrence.
    "dh_outputs": [[[-0.3528825590956726894], [-1.5564954509171294472]]],
    "da": [[[-0.071756847109094413536], [-0.40947754208400433199]]],
    "dW_xh": [[0.47596850405045820822]],
    "dW_hh": [[-0.20876392452586535051]],
    "db_h": [-0.48123438919309874553],
    "dW_hy": [[0.77083441324149438828]],
    "db_y": [-1.272918673341868091],
    "dx": [[[-0.062787241220457611844], [-0.35829284932350379049]]],
    "dh0": [[0.04484802944318400846]],
}

TWO_UNITS = {
    "W_xh": [[0.875], [-0.5]],
    "W_hh": [[0.25, -0.75], [1.125, 0.5]],
    "b_h": [0.125, -0.0625],
    "W_hy": [[1.5, -0.625]],
    "b_y": [-0.25],
    "h": [
        [
            [0.375, -0.25],
            [0.68779020510908518518, -0.015623728558408865202],
            [-0.65561548527423429439, 0.86887051235093465206],
        ]
    ],
    "y": [[[0.79145013801263331852], [-1.7764672981306855991]]],
    "loss": 0.81554343856915947041,
    "dy": [[[0.041450138012633318524], [-1.2764672981306855991]]],
    "dh_outputs": [
        [
            [0.062175207018949977786, -0.025906336257895824078],
            [-1.9147009471960283987, 0.79779206133167849946],
        ]
    ],
    "da": [
        [
            [0.0048471799746308683898, 0.89040772027034082188],
            [-1.0917018519829692623, 0.19551013985945833115],
        ]
    ],
    "dW_xh": [[1.367050904966027012], [0.200816185310847497]],
    "dW_hh": [
        [-0.74904414820284800845, 0.015844658408436447594],
        [0.46837285429622058479, -0.225656527423165936],
    ],
    "db_h": [-1.0868546720083383939, 1.085917860129799153],
    "dW_hy": [[0.86538072602614909999, -1.1097324010310400146]],
    "db_y": [-1.2350171601180522806],
    "dx": [[[-0.4409625776573684011], [-1.0529941904148272701]]],
    "dh0": [[1.0029204802977911417, 0.44156847515419725965]],
}

# A dozen operations on numbers of magnitude one separate the inputs from any of these numbers,
# tanh good to 2 ulp among them, so that the error stays below ten units roundoff of one: 1.1e-16
# and 6e-8. A gradient may be a small difference of such numbers, hence no smaller scale than one.
TOLERANCE = {"float32": 6e-7, "float64": 1.2e-15}

examples = pytest.mark.parametrize(
    "example", [pytest.param(ONE_UNIT, id="one unit"), pytest.param(TWO_UNITS, id="two units")]
)
dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])
losses = pytest.mark.parametrize("loss", ["mse", "sse"])


def assert_equal_numbers(actual, expected, dtype):
    assert actual.dtype == dtype
    assert actual.shape == np.shape(expected)
    np.testing.assert_allclose(
        actual.astype("float64"), expected, rtol=0,
        atol=TOLERANCE[dtype] * max(1.0, np.abs(expected).max()),
    )  # fmt: skip


@examples
@dtypes
@losses
def test_kernels(kernels, example, dtype, loss):
    given = {
        name: np.array(example[name], dtype=dtype)
        for name in ("W_xh", "W_hh", "b_h", "W_hy", "b_y")
    }
    x = np.array(X, dtype=dtype)
    hidden_size = len(example["b_h"])
    size = max(
        kernels.layer_workspace_size("tanh", 2, 1, 1, hidden_size, dtype),
        kernels.output_workspace_size(2, 1, hidden_size, 1, dtype),
    )
    workspace = np.full(size, np.nan, dtype)

    h = np.full((1, 3, hidden_size), np.nan, dtype)
    h[:, 0] = example["h"][0][0]
    W = {name: given[name] for name in ("W_xh", "W_hh", "b_h")}
    kernels.rnn_forward(
        cell="tanh", x=x, **W, h=h, gates=None, lengths=None, reverse=False, resets=None,
        start=None, workspace=workspace,
    )  # fmt: skip
    assert_equal_numbers(h, example["h"], dtype)

    y = np.full((1, 2, 1), np.nan, dtype)
    kernels.output_forward(
        h=h[:, 1:], W_hy=given["W_hy"], b_y=given["b_y"], y=y, lengths=None, workspace=workspace
    )
    assert_equal_numbers(y, example["y"], dtype)

    dy = np.full((1, 2, 1), np.nan, dtype)
    value = getattr(kernels, loss)(y_hat=y, y=np.array(TARGET, dtype=dtype), weights=None, dy=dy)
    assert type(value) is float
    assert value == pytest.approx(example["loss"], rel=TOLERANCE[dtype], abs=0)
    assert_equal_numbers(dy, example["dy"], dtype)

    dW_hy = np.zeros((1, hidden_size), dtype)
    db_y = np.zeros(1, dtype)
    dh = np.full((1, 2, hidden_size), np.nan, dtype)
    kernels.output_backward(
        h=h[:, 1:],
        W_hy=given["W_hy"],
        dy=dy,
        dW_hy=dW_hy,
        db_y=db_y,
        dh=dh,
        lengths=None,
        workspace=workspace,
    )
    assert_equal_numbers(dW_hy, example["dW_hy"], dtype)
    assert_equal_numbers(db_y, example["db_y"], dtype)
    assert_equal_numbers(dh, example["dh_outputs"], dtype)

    dW_xh = np.zeros((hidden_size, 1), dtype)
    dW_hh = np.zeros((hidden_size, hidden_size), dtype)
    db_h = np.zeros(hidden_size, dtype)
    da = np.full((1, 2, hidden_size), np.nan, dtype)
    dx = np.zeros((1, 2, 1), dtype)
    dstate = np.zeros((1, hidden_size), dtype)
    kernels.rnn_backward(
        cell="tanh", x=x, h=h, gates=None, W_xh=given["W_xh"], W_hh=given["W_hh"],
        b_h=given["b_h"], dh=dh, da=da,
        dstate=dstate, dW_xh=dW_xh, dW_hh=dW_hh, db_h=db_h, dx=dx, lengths=None, reverse=False,
        resets=None, start=None, dstart=None, workspace=workspace,
    )  # fmt: skip
    assert_equal_numbers(da, example["da"], dtype)
    assert_equal_numbers(dW_xh, example["dW_xh"], dtype)
    assert_equal_numbers(dW_hh, example["dW_hh"], dtype)
    assert_equal_numbers(db_h, example["db_h"], dtype)
    assert_equal_numbers(dx, example["dx"], dtype)
    assert_equal_numbers(dstate, example["dh0"], dtype)


@examples
@dtypes
def test_network(implementation, example, dtype):
    net = crnn.RNN(
        input_size=1, hidden_size=len(example["b_h"]), output_size=1, dtype=dtype,
        implementation=implementation,
    )  # fmt: skip
    for name, values in net.params.items():
        values[...] = example[name]
    h0 = np.array(example["h"], dtype=dtype)[:, 0]

    tape = net.forward(x=X, h0=h0)
    assert_equal_numbers(tape.h, example["h"], dtype)
    assert_equal_numbers(tape.y, example["y"], dtype)
    assert_equal_numbers(tape.h_n, np.array(example["h"])[:, -1], dtype)

    grads = net.backward(tape=tape, dy=tape.y - np.array(TARGET, dtype=dtype))
    for name in ("W_xh", "W_hh", "b_h", "W_hy", "b_y"):
        assert_equal_numbers(grads[name], example["d" + name], dtype)
    assert_equal_numbers(grads.x, example["dx"], dtype)
    assert_equal_numbers(grads.h0, example["dh0"], dtype)


@dtypes
@losses
def test_loss_and_training_step(implementation, dtype, loss):
    net = crnn.RNN(
        input_size=1, hidden_size=1, output_size=1, dtype=dtype, implementation=implementation
    )
    for name, values in net.params.items():
        values[...] = ONE_UNIT[name]
    expected = pytest.approx(ONE_UNIT["loss"], rel=TOLERANCE[dtype], abs=0)

    assert net.loss(x=X, y=TARGET, loss=loss) == expected
    # A learning rate of one half is exact in binary.
    assert net.train_step(x=X, y=TARGET, optimizer=crnn.SGD(lr=0.5), loss=loss) == expected

    for name, values in net.params.items():
        stepped = np.array(ONE_UNIT[name]) - 0.5 * np.array(ONE_UNIT["d" + name])
        assert_equal_numbers(values, stepped, dtype)


def test_mse_is_the_default_loss(implementation):
    net = crnn.RNN(
        input_size=1, hidden_size=1, output_size=1, dtype="float64", implementation=implementation
    )
    # Three steps, so that the mean over steps differs from the halved sum.
    x, y = [[[0.5], [-1.25], [0.25]]], [[[0.75], [-0.5], [1.0]]]
    assert net.loss(x=x, y=y) == net.loss(x=x, y=y, loss="mse")
    assert net.loss(x=x, y=y) != net.loss(x=x, y=y, loss="sse")
