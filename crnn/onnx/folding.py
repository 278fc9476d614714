"""Operators on constants, computed by the reference that ONNX itself has.

Only operators on arrays of numbers are computed, and a bound on the size of the result comes first:
a few bytes in a file may ask for an array of terabytes.
"""

import math
import warnings
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from onnx import NodeProto, helper
from onnx.reference import ReferenceEvaluator

from crnn import ModelFileError
from crnn.onnx.tensors import FORMATS, attribute, label

Array: TypeAlias = npt.NDArray[Any]

# By number: one element for each, shapes as NumPy broadcasts them
ELEMENTWISE = {
    *("Add", "Sub", "Mul", "Div", "Mod", "Pow", "Max", "Min", "Sum", "Mean", "Where", "Clip"),
    *("Neg", "Abs", "Sign", "Sqrt", "Reciprocal", "Exp", "Log", "Floor", "Ceil", "Round"),
    *("Relu", "Sigmoid", "Tanh", "Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"),
    *("And", "Or", "Xor", "Not", "Cast", "CastLike", "DequantizeLinear", "Trilu", "CumSum"),
}
# No more numbers come out than went in.
MOVING = {
    *("Identity", "Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Slice", "Split"),
    *("Concat", "GatherElements", "ReverseSequence", "Compress"),
}
REDUCING = {"ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ArgMax", "ArgMin"}
# Sizes are asked for: they come from attributes or numbers, or are products.
SIZED = {
    *("Shape", "Size", "ConstantOfShape", "Range", "Expand", "Tile", "Pad", "OneHot", "EyeLike"),
    *("Gather", "GatherND", "NonZero", "MatMul", "Gemm"),
}
OPERATORS = ELEMENTWISE | MOVING | REDUCING | SIZED
# The last version of all of them in releases of onnx that are supported.
OPSET = 18
# Shapes, axes and bounds have no more numbers.
MOST_ENTRIES = 1000

# What were attributes in earlier versions, in the order of the inputs that they are now.
ONCE_ATTRIBUTES = {
    "Slice": ("starts", "ends", "axes"),
    "Squeeze": ("axes",),
    "Unsqueeze": ("axes",),
    "Split": ("split",),
    **{name: ("axes",) for name in REDUCING if name.startswith("Reduce")},
    "Pad": ("pads", "value"),
    "Clip": ("min", "max"),
    "Reshape": ("shape",),
    "Tile": (),
}


def modern(node: NodeProto, inputs: list[Any]) -> tuple[NodeProto, list[Any]]:
    """Return a node of version 18, and its inputs, from one of an earlier version."""
    names = ONCE_ATTRIBUTES.get(node.op_type, ())
    found = {entry.name: entry for entry in node.attribute if entry.name in names}
    if node.op_type in ("Dropout", "BatchNormalization") or not found:
        return node, inputs
    newer = NodeProto()
    newer.CopyFrom(node)
    del newer.attribute[:]
    newer.attribute.extend(entry for entry in node.attribute if entry.name not in names)
    given: list[Any] = list(inputs)
    for place, name in enumerate(names, 1):
        value = None
        if name in found:
            value = np.asarray(helper.get_attribute_value(found[name]))
            if node.op_type in ("Clip", "Pad") and value.dtype.kind == "f":
                value = value.astype(np.asarray(inputs[0]).dtype)
        if len(given) <= place:
            given.append(value)
    del newer.input[:]
    newer.input.extend("" if value is None else f"i{n}" for n, value in enumerate(given))
    return newer, given


class Calculator:
    """Computes nodes, up to so many bytes of memory of their own.

    Parameters
    ----------
    most : int
        Bytes that all results together may take.
    """

    def __init__(self, most: int) -> None:
        self._most = self._left = most

    def fold(self, node: NodeProto, inputs: list[Array | None]) -> list[Array]:
        """Return the outputs of a node of version 18, or raise a ModelFileError that names it."""
        if node.op_type not in OPERATORS:
            raise ModelFileError(f"{label(node)}: expected operators that crnn's networks have")
        if node.op_type == "Identity" and inputs[0] is not None:
            return [inputs[0]]
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                most = 8 * max(0, _most_numbers(node, inputs))
                self.take(node, most)
                arrays = self._computed(node, inputs)
        except (ModelFileError, MemoryError):
            raise
        except Exception as error:
            # Whatever a reference raises for inputs that do not fit
            sentence = _sentence(error.__cause__ or error)
            raise ModelFileError(
                f"{label(node)}: expected inputs that fit, got {sentence}"
            ) from error
        # Views take no memory.
        self._left += max(0, most - sum(array.nbytes for array in arrays if array.base is None))
        return arrays

    def take(self, node: NodeProto, size: int) -> None:
        """Count so many bytes, or refuse the node that asks for too many."""
        if size > self._left:
            raise ModelFileError(
                f"{label(node)}: expected constants of at most {self._most >> 20} MB in all, "
                "computed from others"
            )
        self._left -= size

    def _computed(self, node: NodeProto, inputs: list[Array | None]) -> list[Array]:
        names = [f"i{number}" if value is not None else "" for number, value in enumerate(inputs)]
        named = NodeProto(op_type=node.op_type, input=names)
        named.attribute.extend(node.attribute)
        named.output.extend(f"o{number}" for number in range(len(node.output)))
        feed = {name: value for name, value in zip(names, inputs, strict=True) if name}
        outputs = ReferenceEvaluator(named, opsets={"": OPSET}).run(None, feed)
        return [np.asarray(output) for output in outputs]


def _sentence(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".split("\n")[0][:200]


def _most_numbers(node: NodeProto, inputs: list[Array | None]) -> int:
    """Return how many numbers a node makes at most."""
    operator, arrays = node.op_type, [value for value in inputs if value is not None]
    sizes = [int(array.size) for array in arrays]
    for value in inputs[1:]:
        is_list = operator in MOVING | SIZED | REDUCING and value is not None and value.ndim == 1
        is_data = operator in ("Concat", "GatherElements", "Gather", "GatherND", "ReverseSequence",
                               "Compress", "MatMul", "Gemm")  # fmt: skip
        if is_list and not is_data and value is not None and value.size > MOST_ENTRIES:
            raise ModelFileError(
                f"{label(node)}: expected at most {MOST_ENTRIES} axes or sizes, got {value.size}"
            )
    if operator in ("Cast", "CastLike") and attribute(node, "to", 1) not in FORMATS:
        raise ModelFileError(f"{label(node)}: expected a cast to numbers")
    if operator == "Split" and whole_or(node, "num_outputs", len(node.output)) != len(node.output):
        raise ModelFileError(f"{label(node)}: expected as many outputs as it splits into")
    if operator in ELEMENTWISE:
        if operator == "DequantizeLinear":
            return sizes[0]
        return int(math.prod(np.broadcast_shapes(*(array.shape for array in arrays))))
    if operator not in SIZED:
        return sum(sizes)
    if operator in ("Shape", "Size"):
        return arrays[0].ndim
    asked = [int(number) for number in np.ravel(arrays[-1])[:MOST_ENTRIES]]
    if operator == "ConstantOfShape":
        return math.prod(asked)
    if operator == "Expand":
        return int(math.prod(np.broadcast_shapes(arrays[0].shape, tuple(asked))))
    if operator == "Tile":
        return sizes[0] * math.prod(asked)
    if operator == "Range":
        start, stop, step = (float(array.item()) for array in arrays)
        return max(0, math.ceil((stop - start) / step))
    if operator == "Pad":
        pads = np.abs(np.ravel(arrays[1]).astype(np.float64)).sum()
        return int(math.prod(int(size + pads) for size in arrays[0].shape))
    if operator == "OneHot":
        depth = int(np.ravel(arrays[1])[0])
        return sizes[0] * depth
    if operator in ("Gather", "GatherND"):
        axis = whole_or(node, "axis", 0) if operator == "Gather" else 0
        return sizes[1] * (sizes[0] // max(1, int(arrays[0].shape[axis])))
    if operator in ("MatMul", "Gemm"):
        # So many products are summed, which bounds the time, too.
        if any(array.ndim != 2 for array in arrays[:2]):
            raise ModelFileError(f"{label(node)}: expected constants of two axes")
        shared = int(arrays[0].shape[0 if whole_or(node, "transA", 0) else 1])
        return sizes[0] * sizes[1] // max(1, shared)
    # EyeLike, and NonZero with a row for each axis
    return sizes[0] * (arrays[0].ndim + 1)


def whole_or(node: NodeProto, name: str, default: int) -> int:
    """Return an attribute that is a whole number, or its default."""
    value = attribute(node, name, default)
    return value if isinstance(value, int) else default
