"""Networks with the weights of Keras layers, and the weights of networks for Keras layers."""

from typing import Any

import numpy as np
import numpy.typing as npt

from crnn import GRU, LSTM, RNN, checks
from crnn.keras.arrays import (
    common_kind,
    converted,
    list_of_arrays,
    matrix_shape,
    weights_by_layer,
)
from crnn.keras.cells import LAYER_KINDS, join_biases, reorder_gates, split_biases


def from_weights(
    layers: Any, output: Any = None, *, dtype: npt.DTypeLike | None = None, **settings: Any
) -> RNN | GRU | LSTM:
    """Return a network with the weights of Keras layers.

    The shapes show the cell, its sizes, the directions and the form of a GRU. They do not show
    activations: those are taken to be Keras's defaults, tanh and sigmoid.

    Parameters
    ----------
    layers : list of array, or list of such lists
        What ``get_weights()`` of a SimpleRNN, GRU or LSTM layer returns, or of a Bidirectional one
        around it: a kernel (inputs, gates * units), a recurrent kernel (units, gates * units) and,
        unless the layer has ``use_bias=False``, a bias; for a Bidirectional layer those of the
        forward direction, then those of the backward one. For several layers, each of which reads
        the one before, a list of their lists.
    output : list of array, optional
        What ``get_weights()`` of a Dense layer above them returns: a kernel (units * directions,
        outputs) and, unless it has ``use_bias=False``, a bias (outputs,).
    dtype : {"float32", "float64"}, optional
        The network's dtype; without it float64 if one of the arrays has it, else float32.
    **settings
        Other arguments of `crnn.RNN`, `crnn.GRU` or `crnn.LSTM`. For a SimpleRNN with relu
        ``nonlinearity="relu"``. For a GRU without biases, which would show its form,
        ``reset_after=False`` if it has that form. ``categorical=True`` for a network that takes
        category numbers, where the layers take one-hot vectors. ``return_sequences`` is True unless
        given, as everywhere in crnn, and not False as in Keras.

    Returns
    -------
    RNN, GRU or LSTM
        With copies of the weights. The two biases that Keras adds up in the gates r and z of a GRU
        are one.

    Raises
    ------
    ValueError
        The number or shape of the arrays does not fit, or their numbers do not fit the dtype; or
        the layers differ in cell, units or directions, which a network cannot have.
    TypeError
        Something is not a list of arrays of numbers, or the cell does not have a setting.

    Examples
    --------
    >>> import numpy as np
    >>> import crnn.keras
    >>> rng = np.random.default_rng(0)
    >>> kernel, recurrent_kernel = rng.random((2, 20)), rng.random((5, 20))
    >>> net = crnn.keras.from_weights([kernel, recurrent_kernel, np.zeros(20)])
    >>> type(net).__name__, net.input_size, net.hidden_size, net.dtype.name
    ('LSTM', 2, 5, 'float64')
    """
    by_layer = weights_by_layer(layers)
    kind, units = common_kind(by_layer)
    dense = [] if output is None else list_of_arrays("output", output)
    if output is not None and len(dense) not in (1, 2):
        raise ValueError(f"output: expected a kernel and perhaps a bias, got {len(dense)} arrays")
    directions = by_layer[0].directions
    if dtype is None:
        arrays = [array for layer in by_layer for array in layer.arrays] + dense
        dtype = "float64" if any(array.dtype == np.float64 for array in arrays) else "float32"
    if kind.family is GRU:
        biases = [layer.arrays[2] for layer in by_layer if len(layer.arrays) == 3 * directions]
        settings.setdefault("reset_after", not biases or biases[0].ndim == 2)
    net = kind.family(
        matrix_shape(f"{by_layer[0].name}[0]", by_layer[0].arrays[0])[0],
        units,
        matrix_shape("output[0]", dense[0])[1] if dense else None,
        num_layers=len(by_layer),
        bidirectional=directions == 2,
        dtype=dtype,
        init="uniform",
        **settings,
    )

    architecture = net.architecture
    columns = f"{len(kind.gate_order)}*units"
    sizes = {"units": units, columns: len(kind.gate_order) * units, "biases": 2}
    bias_axes = f"biases {columns}" if architecture.cell == "gru" else columns
    for number, layer in enumerate(by_layer):
        sizes["inputs"] = architecture.features if number else architecture.input_size
        axes = (f"inputs {columns}", f"units {columns}", bias_axes)
        each = len(layer.arrays) // directions
        for direction in range(directions):
            parts = []
            for part in range(each):
                place = each * direction + part
                name = f"{layer.name}[{place}]"
                array = converted(name, layer.arrays[place], axes[part], sizes, net.dtype)
                parts.append(reorder_gates(array, kind))
            suffix = architecture.suffix(directions * number + direction)
            net.params["W_xh" + suffix][...] = parts[0].T
            net.params["W_hh" + suffix][...] = parts[1].T
            # Without a bias zero, although a new LSTM starts with a forget bias of 1
            net.params["b_h" + suffix][...] = join_biases(parts[2], units) if each == 3 else 0
    if dense:
        sizes |= {"inputs": architecture.features, "outputs": architecture.outputs}
        W_hy = converted("output[0]", dense[0], "inputs outputs", sizes, net.dtype)
        net.params["W_hy"][...] = W_hy.T
        if len(dense) == 2:
            net.params["b_y"][...] = converted("output[1]", dense[1], "outputs", sizes, net.dtype)
    return net


def to_weights(
    net: RNN | GRU | LSTM,
) -> tuple[list[list[npt.NDArray[Any]]], list[npt.NDArray[Any]] | None]:
    """Return the weights of a network as Keras layers take them.

    Parameters
    ----------
    net : RNN, GRU or LSTM
        Without a trainable h0, which Keras layers do not have. If it is categorical, the layers
        take one-hot vectors in place of the category numbers.

    Returns
    -------
    layers : list of lists of array
        For each layer what ``set_weights`` of a SimpleRNN, GRU or LSTM layer with
        ``use_bias=True`` takes, or of a Bidirectional one around it if the network is
        bidirectional. A GRU layer has to have the `reset_after` of the network, and a SimpleRNN
        layer its `nonlinearity` as activation. The arrays are copies, of the network's dtype.
    output : list of array or None
        The same for a Dense layer; None for a network without an output layer.

    Raises
    ------
    ValueError
        The network has a trainable h0 or a leak.
    TypeError
        It is no network.

    Examples
    --------
    >>> import crnn.keras
    >>> net = crnn.LSTM(input_size=2, hidden_size=5, output_size=1, num_layers=2, seed=0)
    >>> layers, output = crnn.keras.to_weights(net)
    >>> [[array.shape for array in arrays] for arrays in layers]
    [[(2, 20), (5, 20), (20,)], [(5, 20), (5, 20), (20,)]]
    >>> [array.shape for array in output]
    [(5, 1), (1,)]
    >>> twin = crnn.keras.from_weights(layers, output)
    >>> bool((twin.flat_params == net.flat_params).all())
    True
    """
    kind = next((kind for kind in LAYER_KINDS if isinstance(net, kind.family)), None)
    if kind is None:
        raise TypeError(f"net: expected a crnn.RNN, GRU or LSTM, got {type(net).__name__}")
    architecture = net.architecture
    checks.no_leak(architecture, "Keras")
    if architecture.trainable_h0:
        raise ValueError(
            "net: expected one without a trainable h0, which Keras layers do not have, "
            "got trainable_h0=True"
        )
    layers: list[list[npt.NDArray[Any]]] = [[] for _ in range(architecture.num_layers)]
    for state in range(architecture.num_states):
        W_xh, W_hh, b_h = (
            net.params[name + architecture.suffix(state)] for name in ("W_xh", "W_hh", "b_h")
        )
        bias = split_biases(b_h, architecture.hidden_size) if architecture.cell == "gru" else b_h
        layers[state // architecture.directions] += [
            np.array(reorder_gates(values, kind), order="C") for values in (W_xh.T, W_hh.T, bias)
        ]
    if architecture.output_size is None:
        return layers, None
    return layers, [net.params["W_hy"].T.copy(), net.params["b_y"].copy()]
