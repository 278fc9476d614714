"""Parameters from and to Flax: its recurrent cells as networks of crnn, and back.

Parameters are the trees that ``init`` of `flax.linen` modules returns: mappings of arrays. Flax and
JAX are never imported. A kernel is (inputs, outputs), the transpose of crnn's matrix, one for each
gate. ``GRUCell`` has the biases of r, z and n beside the inputs and that of n beside the state;
``OptimizedLSTMCell`` and ``LSTMCell`` have all of theirs beside the state.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from crnn import GRU, LSTM, RNN, checks, from_state_dict
from crnn.conversion import as_numbers

__all__ = ["from_params", "to_params"]

Array: TypeAlias = npt.NDArray[Any]
Tree: TypeAlias = Mapping[str, Any]
"""Parameters of a module: arrays and trees by name."""


class _Cell(NamedTuple):
    """A cell's gates, in the order of crnn's, by their letters."""

    name: str
    cell: str
    of_x: tuple[str, ...]
    of_h: tuple[str, ...]


CELLS = (
    _Cell("SimpleCell", "rnn", ("i",), ("h",)),
    _Cell("GRUCell", "gru", ("ir", "iz", "in"), ("hr", "hz", "hn")),
    _Cell("OptimizedLSTMCell", "lstm", ("ii", "if", "ig", "io"), ("hi", "hf", "hg", "ho")),
)


def from_params(
    layers: Tree | Sequence[Tree | Sequence[Tree]], output: Tree | None = None, **settings: Any
) -> RNN | GRU | LSTM:
    """Return a network with the parameters of Flax's cells.

    Parameters
    ----------
    layers : tree, or list of trees
        Of a ``SimpleCell``, ``GRUCell``, ``OptimizedLSTMCell`` or ``LSTMCell``, also with one
        module around it: ``{"params": {"cell": {...}}}``. Several layers, each of which reads the
        one before, are a list; the two directions of a ``Bidirectional`` layer are a pair, forward
        and backward.
    output : tree, optional
        Of a ``Dense`` layer above them: ``{"kernel": ..., "bias": ...}``.
    **settings
        Of `crnn.from_state_dict`: ``nonlinearity`` of a SimpleCell, ``dtype``,
        ``return_sequences``, ``categorical``, ``implementation``.

    Returns
    -------
    RNN, GRU or LSTM
        With copies of the parameters. Activations are taken to be Flax's defaults.

    Raises
    ------
    ValueError, TypeError
        A tree has other names or shapes, or the layers differ in cell or size.

    Examples
    --------
    >>> import numpy as np
    >>> import crnn.flax
    >>> gates = {f"i{gate}": {"kernel": np.ones((2, 5))} for gate in "ifgo"}
    >>> gates |= {f"h{g}": {"kernel": np.ones((5, 5)), "bias": np.zeros(5)} for g in "ifgo"}
    >>> net = crnn.flax.from_params({"params": {"cell": gates}})
    >>> type(net).__name__, net.input_size, net.hidden_size
    ('LSTM', 2, 5)
    """
    content: dict[str, npt.ArrayLike] = {}
    listed = [layers] if isinstance(layers, Mapping) else layers
    if not isinstance(listed, (list, tuple)) or not listed:
        raise TypeError(f"layers: expected a tree or a list of trees, got {_kind(layers)}")
    kinds = set()
    for number, layer in enumerate(listed):
        directions = [layer] if isinstance(layer, Mapping) else layer
        if not isinstance(directions, (list, tuple)) or len(directions) not in (1, 2):
            raise TypeError(
                f"layers[{number}]: expected a tree or a pair of trees, got {_kind(layer)}"
            )
        for tree, ending in zip(directions, ("", "_reverse"), strict=False):
            name = f"layers[{number}]"
            cell, tree = _cell(name, tree)
            kinds.add(cell.cell)
            parts = zip(
                ("weight_ih", "bias_ih", "weight_hh", "bias_hh"),
                (*_gates(name, tree, cell.of_x), *_gates(name, tree, cell.of_h)),
                strict=True,
            )
            content |= {f"{part}_l{number}{ending}": values for part, values in parts}
    if len(kinds) > 1:
        raise ValueError(f"layers: expected cells of one kind, got {' and '.join(sorted(kinds))}")
    if output is not None:
        kernel, bias = _dense("output", output)
        content |= {"output.weight": kernel.T, "output.bias": bias}
    return from_state_dict(content, cell=kinds.pop(), **settings)


def to_params(
    net: RNN | GRU | LSTM,
) -> tuple[list[Any], dict[str, Array] | None]:
    """Return the parameters of a network as Flax's cells take them.

    Parameters
    ----------
    net : RNN, GRU or LSTM
        Without a trainable h0; a GRU with ``reset_after=True``. If it is categorical, the cells
        take one-hot vectors.

    Returns
    -------
    layers : list
        For each layer the tree of a ``SimpleCell``, ``GRUCell`` or ``OptimizedLSTMCell``, what is
        under ``"cell"`` of an ``nn.RNN``; for a bidirectional network a pair of trees. The arrays
        are copies, of the network's dtype.
    output : dict or None
        The tree of a ``Dense`` layer; None for a network without an output layer.

    Raises
    ------
    ValueError, TypeError
        Flax has no such cell, or it is no network.

    Examples
    --------
    >>> import crnn.flax
    >>> net = crnn.GRU(input_size=2, hidden_size=5, output_size=1, seed=0)
    >>> layers, output = crnn.flax.to_params(net)
    >>> sorted(layers[0]), output["kernel"].shape
    (['hn', 'hr', 'hz', 'in', 'ir', 'iz'], (5, 1))
    >>> bool((crnn.flax.from_params(layers, output).flat_params == net.flat_params).all())
    True
    """
    if not isinstance(net, (RNN, GRU, LSTM)):
        raise TypeError(f"net: expected a crnn.RNN, GRU or LSTM, got {type(net).__name__}")
    architecture, H = net.architecture, net.hidden_size
    checks.no_leak(architecture, "Flax")
    if architecture.trainable_h0:
        raise ValueError("net: expected trainable_h0=False, as Flax's cells have it, got True")
    if architecture.cell == "gru_reset_before":
        raise ValueError("net: expected reset_after=True, as Flax's GRUCell has it, got False")
    cell = next(c for c in CELLS if c.cell == type(net).__name__.lower())
    trees: list[dict[str, dict[str, Array]]] = []
    for state in range(architecture.num_states):
        suffix = architecture.suffix(state)
        W_xh, W_hh, b_h = (net.params[name + suffix] for name in ("W_xh", "W_hh", "b_h"))
        tree: dict[str, dict[str, Array]] = {}
        for number, (of_x, of_h) in enumerate(zip(cell.of_x, cell.of_h, strict=True)):
            rows = slice(number * H, (number + 1) * H)
            tree[of_x] = {"kernel": W_xh[rows].T.copy()}
            tree[of_h] = {"kernel": W_hh[rows].T.copy()}
            tree[of_h if cell.cell == "lstm" else of_x]["bias"] = b_h[rows].copy()
        if cell.cell == "gru":
            tree["hn"]["bias"] = b_h[3 * H :].copy()
        trees.append(tree)
    layers: list[Any] = trees
    if net.bidirectional:
        layers = list(zip(trees[::2], trees[1::2], strict=True))
    if net.output_size is None:
        return layers, None
    return layers, {"kernel": net.params["W_hy"].T.copy(), "bias": net.params["b_y"].copy()}


def _kind(value: Any) -> str:
    return "an empty list" if isinstance(value, (list, tuple)) and not value else repr(type(value))


def _cell(name: str, tree: Any) -> tuple[_Cell, Tree]:
    """Return the cell that a tree is of, and the tree without the modules around it."""
    if not isinstance(tree, Mapping):
        raise TypeError(f"{name}: expected a tree of parameters by name, got {type(tree).__name__}")
    inner: Any = tree
    while isinstance(inner, Mapping):
        for cell in CELLS:
            if set(inner) == {*cell.of_x, *cell.of_h}:
                return cell, inner
        if len(inner) != 1:
            break
        inner = next(iter(inner.values()))
    got = ", ".join(f"{key!r:.40}" for key in list(tree)[:8]) or "nothing"
    names = "; ".join(f"{cell.name} ({', '.join(cell.of_x + cell.of_h)})" for cell in CELLS)
    raise ValueError(f"{name}: expected the parameters of one of {names}; got {got}")


def _gates(name: str, tree: Tree, gates: tuple[str, ...]) -> tuple[Array, Array]:
    """Return the matrix and the biases of gates, one below another."""
    found = [_dense(f"{name}[{gate!r}]", tree[gate]) for gate in gates]
    for gate, (kernel, _) in zip(gates, found, strict=True):
        if kernel.shape != found[0][0].shape:
            raise ValueError(
                f"{name}[{gate!r}]: expected a kernel of shape {found[0][0].shape}, as of "
                f"{gates[0]!r}, got {kernel.shape}"
            )
    return (
        np.concatenate([kernel.T for kernel, _ in found]),
        np.concatenate([bias for _, bias in found]),
    )


def _dense(name: str, tree: Any) -> tuple[Array, Array]:
    """Return the kernel and the bias of a Dense layer, zeros without one."""
    if not isinstance(tree, Mapping) or not {"kernel"} <= set(tree) <= {"kernel", "bias"}:
        raise ValueError(f"{name}: expected a kernel and perhaps a bias by name, got {tree!r:.60}")
    kernel = as_numbers(f"{name}['kernel']", tree["kernel"])
    if kernel.ndim != 2:
        raise ValueError(f"{name}['kernel']: expected a matrix, got shape {kernel.shape}")
    if "bias" not in tree:
        return kernel, np.zeros(kernel.shape[1], kernel.dtype)
    bias = as_numbers(f"{name}['bias']", tree["bias"])
    if bias.shape != kernel.shape[1:]:
        raise ValueError(
            f"{name}['bias']: expected shape {kernel.shape[1:]}, as the kernel has outputs, got "
            f"{bias.shape}"
        )
    return kernel, bias
