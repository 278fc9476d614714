"""`load`: a network from an ONNX model, of whatever tool wrote it."""

import os
from pathlib import Path

import onnx

from crnn import GRU, LSTM, RNN, ModelFileError, archive, checks
from crnn.onnx.fields import check_fields
from crnn.onnx.graph import read_graph
from crnn.onnx.network import build_network


def load(
    path_or_model: str | os.PathLike[str] | onnx.ModelProto,
    *,
    categorical: bool | None = None,
    implementation: str | None = None,
) -> RNN | GRU | LSTM:
    """Return the network that an ONNX model computes.

    Models of one or several RNN, GRU or LSTM nodes above each other, with or without an output
    layer of MatMul and Add, or Gemm, are read: forward or bidirectional, either layout, both forms
    of GRU, RNN with Tanh or Relu. First states that are the model's inputs are given to `predict`
    as ``h0``; those that are part of it become a trainable h0. The network takes (batch, time,
    features), whatever the model's layout is.

    Nothing in a model is executed, other files that it names are not opened, and the memory
    that is taken is a few times the file's size: models of unknown origin may be tried.

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
    crnn.RNN, GRU or LSTM

    Raises
    ------
    ModelFileError
        The model is damaged, or computes something that crnn's networks do not: it says what.
    ValueError, TypeError
        Another argument does not fit.
    OSError
        The file cannot be opened.
    """
    if categorical is not None:
        categorical = checks.boolean("categorical", categorical)
    if implementation is not None:
        checks.choice("implementation", implementation, ("native", "python"))
    if isinstance(path_or_model, onnx.ModelProto):
        model, where = path_or_model, "model"
    else:
        where = os.fspath(path_or_model)
        archive.check_regular(where)
        content = Path(where).read_bytes()
        model = onnx.ModelProto()
        try:
            check_fields(content)
            model.ParseFromString(content)
        except MemoryError:
            raise
        except Exception as error:  # of the protocol buffers' own kinds
            raise ModelFileError(f"{where}: expected an ONNX model, got {error}") from error
    try:
        parts = read_graph(model)
        return build_network(parts, categorical=categorical, implementation=implementation)
    except ModelFileError as error:
        raise ModelFileError(f"{where}: {error}") from error.__cause__
    except (MemoryError, ImportError):
        raise
    except Exception as error:
        # A damaged model raises whatever its bytes lead to.
        raise ModelFileError(
            f"{where}: expected a sound ONNX model, got one that is damaged "
            f"({type(error).__name__}: {error})"
        ) from error
