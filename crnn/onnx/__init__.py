"""ONNX models of networks: written for other runtimes, and read from other tools.

>>> import crnn, crnn.onnx, os, tempfile
>>> net = crnn.GRU(input_size=2, hidden_size=8, output_size=1, seed=0)
>>> with tempfile.TemporaryDirectory() as folder:
...     crnn.onnx.export(net, os.path.join(folder, "net.onnx"))
...     twin = crnn.onnx.load(os.path.join(folder, "net.onnx"))
>>> bool((twin.flat_params == net.flat_params).all())
True
"""

try:
    import onnx as _  # noqa: F401
except ImportError as error:
    raise ImportError("crnn.onnx needs onnx: pip install 'crnn[onnx]'") from error

from crnn.onnx.reading import explain, load
from crnn.onnx.writing import export

__all__ = ["explain", "export", "load"]
