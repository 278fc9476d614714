"""The text of the header and of its test, made of the pieces in the folder `c`.

In the pieces, `net_` and `NET_` are the beginnings of names, `real` is the network's dtype, and
what is inside SCALED() is there for weights with scales alone.
"""

import re
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from crnn import __version__
from crnn.export.comparison import Comparison
from crnn.export.files import MARK
from crnn.export.layout import ChainLayout, DenseLayout, Layout

__all__ = ["header", "test"]

PIECES = Path(__file__).parent / "c"
RESET = "/* The state that sequences start from */\nstatic inline void net_reset(net_state *state)"
# In a header of several parts all other names are those of one part.
OF_ALL_PARTS = {
    *("NET_ALIGNED", "NET_EXACT", "NET_WIDTH", "net_add", "net_sigmoid", "net_softmax"),
    *("net_tanh", "net_weight"),
}
DIGITS = {"float": 9, "double": 17}
# How far outputs may be from the expected ones, as a share of the largest, where the compiler
# contracts products and sums.
TOLERANCES = {"float": 1e-5, "double": 1e-13}


def header(layout: Layout | ChainLayout, prefix: str, comparison: Comparison | None) -> str:
    """Return the header's text; with the error of a comparison."""
    parts = [
        _about(layout, comparison),
        _piece("head.h").replace("WIDER", {"float": "1", "double": "2"}[layout.c_type]),
    ]
    if isinstance(layout, ChainLayout):
        parts += _chain(layout)
    else:
        parts += [
            _sizes(layout) + _width(layout),
            _state(layout) + "\n" + _weight_type(layout),
            *_constants(layout),
            *_arithmetic(layout),
            *_functions(layout),
        ]
    parts.append("#ifdef __cplusplus\n}\n#endif\n#endif\n")
    return _finished("\n".join(parts), layout, prefix)


def test(layout: Layout | ChainLayout, prefix: str, path: str, comparison: Comparison) -> str:
    """Return the text of the test, which includes the header at the path."""
    c_type = layout.c_type
    outputs = _array(f"static const {c_type} expected[STEPS][NET_OUTPUTS]", comparison.y, c_type)
    if layout.categorical:
        inputs = _array("static const int inputs[STEPS]", comparison.x, "int")
        step = (
            "if (net_step(&state, -1, y) != -1 || net_step(&state, NET_CATEGORIES, y) != -1)\n"
            "                return 1;\n"
            "            if (net_step(&state, inputs[t], y) != 0)\n"
            "                return 1;"
        )
    else:
        inputs = _array(f"static const {c_type} inputs[STEPS][NET_INPUTS]", comparison.x, c_type)
        step = "net_step(&state, inputs[t], y);"
    largest = float(np.abs(comparison.y).max())
    tolerance = max(largest * TOLERANCES[c_type], float(np.finfo(layout.dtype).tiny))
    replaced = {
        "N_STEPS": str(len(comparison.x)),
        "INPUTS": inputs.rstrip(),
        "EXPECTED": outputs.rstrip(),
        "STEP": step,
        "TOLERANCE": _number(tolerance, c_type),
        "ABOVE_ONE": {"float": "1.000244140625f", "double": "1.000000007450580597"}[c_type],
    }
    text = _with_words(_piece("test.h"), replaced)
    # Last, so that these names stay as they are
    text = _with_words(_finished(text, layout, prefix), {"FILE": Path(path).name, "PREFIX": prefix})
    return f"{MARK}, crnn {__version__}: the test of {Path(path).name} */\n{text}"


def _piece(name: str) -> str:
    return (PIECES / name).read_text(encoding="ascii")


def _with_words(text: str, words: dict[str, str]) -> str:
    """Return a text with words in place of others."""
    return re.sub(rf"\b({'|'.join(words)})\b", lambda match: words[match[1]], text)


def _finished(text: str, layout: Layout | ChainLayout, prefix: str) -> str:
    """Return a text with the names and types of a header."""
    with_scales = layout.kind == "int8"
    text = re.sub(r"SCALED\(([^()]*)\) ?", lambda m: f"{m[1]} " if with_scales else "", text)
    names = {"net_": f"{prefix}_", "NET_": f"{prefix.upper()}_"}
    text = re.sub(r"\b(net_|NET_)", lambda match: names[match[1]], text)
    return re.sub(r"\breal\b", layout.c_type, text)


def _about(layout: Layout | ChainLayout, comparison: Comparison | None) -> str:
    """Return the comment at the head."""
    kind = {None: f"{layout.c_type} numbers", "bfloat16": "bfloat16", "int8": "int8"}[layout.kind]
    categorical = layout.categorical
    inputs = "int x; real" if categorical else "real x[NET_INPUTS],"
    use = ["net_state state;", f"{inputs} y[NET_OUTPUTS];", "net_reset(&state);"]
    use.append("net_step(&state, x, y);")
    paragraphs = [_described(layout), "\n".join(f"    {line}" for line in use)]
    if categorical:
        paragraphs.append(
            "x is the number of a category, from 0 to NET_CATEGORIES - 1. For another number "
            "net_step returns -1 and changes nothing, otherwise 0."
        )
    else:
        paragraphs.append("x and y may be the same memory.")
    memory = (
        f"Flash: {layout.flash} bytes of constants, beside the code. RAM: {layout.ram} bytes of "
        f"net_state, and during a step {layout.stack} bytes of arrays on the stack. Each source "
        "file that includes this header has the constants: include it in one."
    )
    bits = (
        "Compiled with contraction off (GCC and Clang: -ffp-contract=off), the outputs have the "
        "same bits on every machine with IEEE 754 numbers. Options such as -ffast-math must be off."
    )
    paragraphs += [memory, bits]
    weights = f"Weights are kept as {kind}."
    if comparison is not None:
        weights += (
            f" On the given data, {comparison.steps} steps, outputs differ from those of the "
            f"network by at most {comparison.error:.2g} of the largest output."
        )
    paragraphs.append(weights)
    lines = []
    for text in paragraphs:
        is_code = text.startswith("    ")
        lines.append(text if is_code else textwrap.fill(text, 96, break_on_hyphens=False))
    body = textwrap.indent("\n\n".join(lines), "   ")
    return f"{MARK}, crnn {__version__}.\n\n{body} */"


def _described(layout: Layout | DenseLayout | ChainLayout) -> str:
    return re.sub(r", implementation='\w+'", "", layout.description)


def _sizes(layout: Layout | DenseLayout | ChainLayout) -> str:
    """Return the definitions of the sizes, without the width of sums."""
    sizes = {
        "NET_CATEGORIES" if layout.categorical else "NET_INPUTS": layout.inputs,
        "NET_OUTPUTS": layout.outputs,
    }
    own = {}
    if isinstance(layout, Layout):
        sizes["NET_HIDDEN"] = layout.architecture.hidden_size
        sizes["NET_LAYERS"] = layout.architecture.num_layers
        own["NET_UNITS"] = layout.units
    if not isinstance(layout, ChainLayout) and layout.output_units:
        own["NET_OUTPUT_UNITS"] = layout.output_units
    return (
        f"{_defined(sizes)}\n"
        f"/* Units, outputs and sums of a panel: what is added up side by side */\n{_defined(own)}"
    )


def _defined(sizes: dict[str, int]) -> str:
    return "".join(f"#define {name} {size}\n" for name, size in sizes.items())


def _width(layout: Layout | ChainLayout) -> str:
    return _defined({"NET_WIDTH": layout.width})


def _weight_type(layout: Layout | ChainLayout) -> str:
    return f"typedef {layout.stored_type} net_weight;\n"


def _chain(layout: ChainLayout) -> list[str]:
    """Return what a header of several parts has between its beginning and its end."""
    texts = [_sizes(layout) + _width(layout), _weight_type(layout), *_arithmetic(layout)]
    for number, part in enumerate(layout.parts):
        texts.append(
            textwrap.fill(f"/* Part {number}: {_described(part)} */", 100, subsequent_indent="   ")
        )
        if isinstance(part, DenseLayout):
            of_part = [_sizes(part), *_constants(part), _dense(part)]
        else:
            of_part = [_sizes(part), _state(part), *_constants(part), *_functions(part)]
        texts += [_of_part(text, number) for text in of_part]
    return [*texts, *_chain_functions(layout)]


def _of_part(text: str, number: int) -> str:
    """Return a text with the names of one part."""

    def name(match: re.Match[str]) -> str:
        if match[0] in OF_ALL_PARTS:
            return match[0]
        return f"{match[1]}_{'part' if match[1] == 'net' else 'PART'}{number}_{match[2]}"

    return re.sub(r"\b(net|NET)_(\w+)", name, text)


def _dense(layout: DenseLayout) -> str:
    """Return the step of a dense layer: the product of an output layer, and the activation."""
    words = {"net_output": "net_step", "h": "x", "NET_HIDDEN": "NET_INPUTS"}
    words |= {"net_W_hy": "net_W_y", "net_W_hy_scales": "net_W_y_scales"}
    text = _with_words(_piece("output.h"), words).removesuffix("}\n")
    if layout.activation == "softmax":
        text += "    net_softmax(NET_OUTPUTS, y);\n"
    elif layout.activation is not None:
        is_relu = layout.activation == "relu"
        value = "y[o] < 0 ? 0 : y[o]" if is_relu else f"net_{layout.activation}(y[o])"
        text += f"    for (o = 0; o < NET_OUTPUTS; ++o)\n        y[o] = {value};\n"
    return text + "}\n"


def _chain_functions(layout: ChainLayout) -> list[str]:
    """Return the state of all parts, and the functions for users."""
    numbers = [n for n, part in enumerate(layout.parts) if isinstance(part, Layout)]
    members = "".join(f"    net_part{n}_state part{n};\n" for n in numbers)
    resets = "".join(f"    net_part{n}_reset(&state->part{n});\n" for n in numbers)
    last = len(layout.parts) - 1
    buffers = "".join(f"    real of_part{n}[NET_PART{n}_OUTPUTS];\n" for n in range(last))
    steps = ""
    for n, part in enumerate(layout.parts):
        state = f"&state->part{n}, " if n in numbers else ""
        read, written = f"of_part{n - 1}" if n else "x", f"of_part{n}" if n < last else "y"
        call = f"net_part{n}_step({state}{read}, {written})"
        refused = f"    if ({call} != 0)\n        return -1;\n"
        steps += refused if part.categorical else f"    {call};\n"
    if layout.categorical:
        steps += "    return 0;\n"
    return [
        f"/* The states of the parts */\ntypedef struct {{\n{members}}} net_state;\n",
        f"{RESET} {{\n{resets}}}\n",
        f"{_step_declared(layout)} {{\n{buffers}{steps}}}\n",
    ]


def _state(layout: Layout) -> str:
    meaning = "; c: their memories" if "c" in layout.states else ""
    members = ", ".join(f"{name}[NET_LAYERS][NET_HIDDEN]" for name in layout.states)
    return (
        f"/* h: the states of the units{meaning} */\n"
        f"typedef struct {{\n    real {members};\n}} net_state;\n"
    )


def _constants(layout: Layout | DenseLayout) -> list[str]:
    """Return the definitions of all constant arrays."""
    parts = []
    for c_type, name, numbers in layout.arrays():
        sizes = "".join(f"[{size}]" for size in numbers.shape)
        is_weight = c_type == layout.stored_type and "_W_" in name and "scales" not in name
        declared = "net_weight" if is_weight else "real"
        parts.append(_array(f"static const {declared} {name}{sizes} NET_ALIGNED", numbers, c_type))
    return parts


def _arithmetic(layout: Layout | ChainLayout) -> list[str]:
    """Return the functions that all layers use."""
    parts = []
    needs_u32 = layout.c_type == "float" or layout.kind == "bfloat16"
    activation = bool(layout.activations - {"relu"})
    if layout.kind == "bfloat16" or (needs_u32 and activation):
        parts.append(_piece("u32.h"))
    if layout.c_type == "double" and activation:
        parts.append(_piece("u64.h"))
    if activation:
        parts.append(_piece(f"{layout.c_type}.h"))
    if "softmax" in layout.activations:
        parts += [_piece(f"exp_{layout.c_type}.h"), _piece("softmax.h")]
    widened = r"\1"
    if layout.kind == "bfloat16":
        parts.append(_piece("bfloat16.h"))
        widened = r"net_widened(\1)" if layout.c_type == "float" else r"(double)net_widened(\1)"
    elif layout.kind == "int8":
        widened = r"(real)\1"
    sums = _piece("scaled_sums.h" if layout.kind == "int8" else "sums.h")
    parts.append(re.sub(r"WIDENED\(([^()]*)\)", widened, sums))
    return parts


def _functions(layout: Layout) -> list[str]:
    """Return the steps of units and layers, and the functions for users."""
    cell, parts = layout.architecture.cell, []
    blocks, biases = len(layout.cell.of_x), len(layout.cell.biases)
    if cell in ("tanh", "relu"):
        activation = {"tanh": "net_tanh(sums[u])", "relu": "sums[u] < 0 ? 0 : sums[u]"}[cell]
        parts.append(_piece("plain.h").replace("ACTIVATION", activation).replace("CELL", cell))
    else:
        parts.append(_piece(f"{cell}.h"))
    if cell != "gru_reset_before":
        states = ", ".join(f"real *{name}" for name in layout.states)
        own = {"lstm": "c + u, ", "gru": "h + u, "}.get(cell, "")
        replaced = {"STATES": states, "OWN ": own, "BLOCKS": str(blocks), "BIASES": str(biases)}
        layer = _piece("layer.h")
        for word, text in replaced.items():
            layer = layer.replace(word, text)
        parts.append(layer.replace("1 * ", ""))
    if layout.W_hy is not None:
        parts.append(_piece("output.h"))
    parts.append(_reset(layout))
    parts.append(_step(layout))
    return parts


def _reset(layout: Layout) -> str:
    lines = [
        f"    memcpy(state->{name}, net_{name}0, sizeof state->{name});\n"
        for name in layout.first_states
    ]
    body = "".join(lines) or "    memset(state, 0, sizeof *state);\n"
    return f"{RESET} {{\n{body}}}\n"


def _step(layout: Layout) -> str:
    architecture = layout.architecture
    categorical, last = architecture.categorical, architecture.num_layers - 1
    lines = []
    if categorical:
        lines += [
            "    static const real one = 1;\n",
            "    if (x < 0 || x >= NET_CATEGORIES)\n        return -1;\n",
        ]
    for number in range(architecture.num_layers):
        scales = f"net_scales_{number}, " if layout.kind == "int8" else ""
        if number:
            read = f"NET_HIDDEN, 0, NET_HIDDEN, {{}}, state->h[{number - 1}], "
        elif categorical:
            read = "NET_CATEGORIES, x, 1, {}, &one, "
        else:
            read = "NET_INPUTS, 0, NET_INPUTS, {}, x, "
        arrays = f"net_W_{number}, net_b_{number}, {scales}".rstrip(", ")
        states = ", ".join(f"state->{name}[{number}]" for name in layout.states)
        lines.append(f"    net_layer({read.format(arrays)}{states});\n")
    if layout.W_hy is not None:
        lines.append(f"    net_output(state->h[{last}], y);\n")
    else:
        lines.append(f"    memcpy(y, state->h[{last}], sizeof state->h[{last}]);\n")
    if categorical:
        lines.append("    return 0;\n")
    return f"{_step_declared(layout)} {{\n{''.join(lines)}}}\n"


def _step_declared(layout: Layout | ChainLayout) -> str:
    """Return the head of the step."""
    x = "int x" if layout.categorical else "const real *x"
    returned = "int" if layout.categorical else "void"
    return (
        "/* Read the inputs of a step, move the state on, write the outputs */\n"
        f"static inline {returned} net_step(net_state *state, {x}, real *y)"
    )


def _number(value: Any, c_type: str) -> str:
    """Return a constant in C that is exactly this number."""
    if c_type not in DIGITS:
        return str(int(value))
    text = f"{float(value):.{DIGITS[c_type]}g}"
    if not set(text) & set(".e"):
        text += ".0"
    return text + ("f" if c_type == "float" else "")


def _array(declared: str, numbers: npt.NDArray[Any], c_type: str) -> str:
    """Return the definition of an array of one or two axes."""
    if numbers.ndim == 2:
        rows = [_lines(row, c_type, 8) for row in numbers]
        inner = ",\n".join(
            f"    {{\n{row}}}" if "\n" in row else f"    {{{row.strip()}}}" for row in rows
        )
        return f"{declared} = {{\n{inner}}};\n"
    return f"{declared} = {{\n{_lines(numbers, c_type, 4)}}};\n"


def _lines(numbers: npt.NDArray[Any], c_type: str, indent: int) -> str:
    words = [_number(value, c_type) for value in numbers.tolist()]
    width = max(map(len, words)) + 2
    count = (100 - indent) // width
    rows = [", ".join(words[start : start + count]) for start in range(0, len(words), count)]
    return ",\n".join(" " * indent + row for row in rows)
