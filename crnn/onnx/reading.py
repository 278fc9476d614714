"""`load`: a network from an ONNX model, of whatever tool wrote it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx

from crnn import GRU, LSTM, RNN, ModelFileError, Sequential, archive, checks
from crnn.onnx.fields import check_fields
from crnn.onnx.network import build
from crnn.onnx.tensors import label
from crnn.onnx.trace import Model


def load(
    path_or_model: str | os.PathLike[str] | onnx.ModelProto,
    *,
    categorical: bool | None = None,
    implementation: str | None = None,
) -> RNN | GRU | LSTM | Sequential:
    """Return the network that an ONNX model computes.

    The model's first output is read, and the nodes that lead to it: RNN, GRU and LSTM nodes and
    dense layers, one above the other, with Relu, Tanh, Sigmoid or Softmax behind dense layers.
    Nodes in between may move elements in any way, as long as each layer reads what crnn's layers
    read. Layers of one kind and size are a network; others are a `crnn.Sequential`.

    First states that are the model's inputs are given to `predict` as ``h0``; those that are part
    of it become a trainable h0. The network takes (batch, time, features), whatever the model's
    layout is. A layer that reads backward alone is a bidirectional one whose forward direction has
    weights of zero.

    Numbers may be in other files, in the model's folder or below it. Nothing in a model is executed
    but operators on its constants, and the memory that is taken is a few times the file's size:
    models of unknown origin may be tried.

    Parameters
    ----------
    path_or_model : path-like or onnx.ModelProto
    categorical : bool, optional
        Whether the network takes category numbers, where the model takes one-hot vectors; without
        it, if `export` wrote the model from such a network.
    implementation : {"native", "python"}, optional
        As for `crnn.RNN`.

    Returns
    -------
    crnn.RNN, GRU, LSTM or Sequential

    Raises
    ------
    ModelFileError
        The model is damaged, or computes something that crnn's networks do not: it names the node
        and the reason. `explain` prints the graph up to there.
    ValueError, TypeError
        Another argument does not fit.
    OSError
        The file cannot be opened.
    """
    if categorical is not None:
        categorical = checks.boolean("categorical", categorical)
    if implementation is not None:
        checks.choice("implementation", implementation, ("native", "python"))
    with _refusals_of(path_or_model):
        model = _opened(path_or_model)
        chain = model.chain()
        return build(chain, model.metadata, categorical=categorical, implementation=implementation)


def explain(path_or_model: str | os.PathLike[str] | onnx.ModelProto) -> None:
    """Print the graph of an ONNX model as `load` sees it, with a mark at what stops it.

    A line for each node that the first output needs: the operator, what it reads and makes, and
    what its first result is: a constant, or which steps of which layer.

    Parameters
    ----------
    path_or_model : path-like or onnx.ModelProto

    Raises
    ------
    ModelFileError
        It is no ONNX model.
    OSError
        The file cannot be opened.
    """
    with _refusals_of(path_or_model):
        model = _opened(path_or_model)
    for info in model.inputs:
        print(f"  input {info.name}")
    refusal = net = None
    try:
        with _refusals_of(path_or_model):
            chain = model.chain()
            net = build(chain, model.metadata, categorical=None, implementation=None)
    except ModelFileError as error:
        refusal = error
    for number, (node, meaning) in enumerate(model.steps, 1):
        stops = refusal is not None and number == len(model.steps) and not meaning
        reads = ", ".join(name or "-" for name in node.input)
        makes = ", ".join(name for name in node.output if name)
        print(f"{'>' if stops else ' '} {label(node)}: ({reads}) -> ({makes})  {meaning}".rstrip())
    print(f"> {refusal}" if refusal is not None else f"  read as {net!r}")


@contextmanager
def _refusals_of(path_or_model: str | os.PathLike[str] | onnx.ModelProto) -> Iterator[None]:
    """Say in each refusal which model it is of."""
    is_model = isinstance(path_or_model, onnx.ModelProto)
    where = "model" if is_model else os.fspath(path_or_model)
    try:
        yield
    except ModelFileError as error:
        raise ModelFileError(f"{where}: {error}") from error.__cause__
    except (MemoryError, ImportError, OSError):
        raise
    except Exception as error:
        # A damaged model raises whatever its bytes lead to.
        raise ModelFileError(
            f"{where}: expected a sound ONNX model, got one that is damaged "
            f"({type(error).__name__}: {error})"
        ) from error


def _opened(path_or_model: str | os.PathLike[str] | onnx.ModelProto) -> Model:
    """Return a model, whose fields are counted before memory is taken for them."""
    if isinstance(path_or_model, onnx.ModelProto):
        return Model(path_or_model, None, path_or_model.ByteSize())
    path = os.fspath(path_or_model)
    archive.check_regular(path)
    content = Path(path).read_bytes()
    proto = onnx.ModelProto()
    try:
        check_fields(content)
        proto.ParseFromString(content)
    except MemoryError:
        raise
    except Exception as error:  # of the protocol buffers' own kinds
        raise ModelFileError(f"expected an ONNX model, got {error}") from error
    return Model(proto, str(Path(path).parent), len(content))
