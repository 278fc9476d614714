"""Networks as C headers: warnings, outputs, bits, sizes, and what is refused."""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from chain_problems import chain, dense
from network_problems import CELLS, inputs, network
from scripts import module_of

import crnn
from crnn.export import emulation

WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wdouble-promotion", "-Werror"]
LANGUAGES = {"C99": ["-xc", "-std=c99"], "C++11": ["-xc++", "-std=c++11"]}
EXAMPLES = Path(__file__).parents[2] / "examples" / "exported"

cells = pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])
kinds = pytest.mark.parametrize("weights", [None, "bfloat16", "int8"])
# What is close to predict: sums in another order are off by some units in the last place.
CLOSE = {"float32": 1e-6, "float64": 1e-14}


def compile_c(folder, source, *flags, compiler="gcc", language="C99", optimize="-O1"):
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler} here")
    command = [compiler, *LANGUAGES[language], *WARNINGS, optimize, *flags, source, "-o", "program"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "program"


def run(program, said=None):
    return subprocess.run([program], input=said, capture_output=True, text=True)


@cells
@dtypes
@kinds
def test_emulation_is_close_to_predict(cell, dtype, weights, tmp_path):
    """In float32 and float64 to the last digits; rounded weights by what rounding costs."""
    net = network(3, 21, 2, dtype=dtype, num_layers=2, trainable_h0=True, **cell)
    exported = crnn.export_c(net, tmp_path / "net.h", weights=weights, x=inputs(net, 3, 40))
    bounds = {None: CLOSE[dtype], "bfloat16": 0.02, "int8": 0.05}
    assert 0 < exported.error < bounds[weights]
    if weights is not None:
        assert exported.error > 100 * CLOSE["float32"]
    assert f"at most {exported.error:.2g} of" in " ".join((tmp_path / "net.h").read_text().split())


# Each cell with something else: layers, no output layer, several panels, categories
PROGRAMS = [
    ("tanh", "float32", "gcc", "C99", {"num_layers": 2, "trainable_h0": True}, (3, 13, 2), None),
    ("tanh", "float64", "clang", "C++11", {"categorical": True}, (5, 70, 65), "bfloat16"),
    ("relu", "float64", "gcc", "C++11", {}, (1, 1, 1), None),
    ("relu", "float32", "clang", "C99", {"return_sequences": False}, (4, 100, 3), "int8"),
    ("gru", "float32", "clang", "C++11", {"categorical": True}, (5, 37, 3), "int8"),
    ("gru", "float64", "gcc", "C99", {}, (2, 9, None), None),
    ("gru reset before", "float64", "clang", "C99", {"num_layers": 3}, (2, 11, 4), "int8"),
    ("gru reset before", "float32", "gcc", "C++11", {"trainable_h0": True}, (2, 43, 4), "bfloat16"),
    ("lstm", "float32", "gcc", "C99", {"num_layers": 2, "categorical": True}, (3, 26, 2), None),
    ("lstm", "float64", "clang", "C++11", {"trainable_h0": True}, (3, 8, None), None),
]


@pytest.mark.parametrize(
    ("cell", "dtype", "compiler", "language", "settings", "sizes", "weights"), PROGRAMS
)
def test_programs_have_the_bits_of_the_emulation(
    tmp_path, cell, dtype, compiler, language, settings, sizes, weights
):
    net = network(*sizes, dtype=dtype, **CELLS[cell], **settings)
    # Names and a file with words in them that the pieces of headers use
    header = tmp_path / "net_real.h"
    x = inputs(net, 2, 70)
    exported = crnn.export_c(net, header, name="NET_a", weights=weights, test=True, x=x)
    assert exported.error < {None: CLOSE[dtype], "bfloat16": 0.02, "int8": 0.05}[weights]
    assert exported.test_path == str(tmp_path / "NET_a_test.c")
    program = compile_c(
        tmp_path, "NET_a_test.c", "-ffp-contract=off", compiler=compiler, language=language
    )
    done = run(program)
    expected = f"NET_a: {128 * net.architecture.outputs} outputs, 0 with other bits, 0 beyond"
    assert done.stdout.startswith(expected), done.stdout
    assert done.stdout.endswith("contraction off\n")
    assert done.returncode == 0


# Dense before, between and behind networks, or "none" before; every cell and activation
CHAINS = [
    (["gru", "lstm"], ["tanh", "relu", "softmax"], "float32", "gcc", "C99", None, {}),
    (["gru", "lstm"], ["sigmoid", None, "softmax"], "float64", "clang", "C++11", None, {}),
    (["tanh", "gru reset before", "relu"], [None, "tanh", "sigmoid"], "float32", "clang", "C99",
     "int8", {"trainable_h0": True, "num_layers": 2}),
    (["gru reset before", "tanh"], ["none", "softmax", "tanh"], "float64", "gcc", "C++11",
     "bfloat16", {"categorical": True}),
    (["relu"], ["relu", "softmax"], "float64", "gcc", "C99", "int8", {}),
    (["relu"], ["relu", "relu"], "float32", "clang", "C++11", "bfloat16", {}),
    (["lstm"], ["none", "sigmoid"], "float32", "gcc", "C99", None,
     {"categorical": True, "num_layers": 2}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("of_cells", "activations", "dtype", "compiler", "language", "weights", "of_first"), CHAINS
)
def test_chains(tmp_path, of_cells, activations, dtype, compiler, language, weights, of_first):
    net = chain(of_cells, activations, dtype, **of_first)
    rng = np.random.default_rng(3)
    x = rng.integers(5, size=(2, 70)) if net.categorical else rng.normal(size=(2, 70, 3))
    header = tmp_path / "net_real.h"
    exported = crnn.export_c(net, header, weights=weights, test=True, x=x)
    assert exported.error < {None: CLOSE[dtype], "bfloat16": 0.03, "int8": 0.05}[weights]
    if weights is None:
        numbers = sum(part.weight.size + part.bias.size if isinstance(part, crnn.Dense)
                      else part.flat_params.size for part in net)  # fmt: skip
        assert exported.flash == numbers * net.dtype.itemsize
    flags = ["-ffp-contract=off"]
    program = compile_c(tmp_path, "net_real_test.c", *flags, compiler=compiler, language=language)
    done = run(program)
    expected = f"net_real: {128 * net.output_size} outputs, 0 with other bits, 0 beyond"
    assert done.stdout.startswith(expected), done.stdout
    assert done.returncode == 0
    text = header.read_text()
    assert f"RAM: {exported.ram} bytes" in text
    (tmp_path / "size.c").write_text(
        '#include <stdio.h>\n#include "net_real.h"\n'
        'int main(void) {\n    printf("%d", (int)sizeof(net_real_state));\n    return 0;\n}\n'
    )
    if language == "C99":
        assert run(compile_c(tmp_path, "size.c")).stdout == str(exported.ram)


def test_the_test_finds_another_weight_of_a_chain(tmp_path):
    net = chain(["gru", "lstm"], ["tanh", "relu", "softmax"], "float32")
    crnn.export_c(net, tmp_path / "net.h", test=True)
    net[1].W_hh[7, 2] += 1e-5
    crnn.export_c(net, tmp_path / "net.h")
    done = run(compile_c(tmp_path, "net_test.c", "-ffp-contract=off"))
    assert done.returncode == 1
    assert " 0 with other bits" not in done.stdout


def test_a_chain_steps_in_place(tmp_path):
    """x and y may be the same memory."""
    net = crnn.Sequential([dense(2, 5, "tanh", "float64"), network(5, 3, 2, family="GRU")])
    crnn.export_c(net, tmp_path / "net.h")
    (tmp_path / "main.c").write_text(
        '#include <stdio.h>\n#include "net.h"\n'
        "int main(void) {\n    net_state state;\n    double v[2] = {0.5, -1};\n    int t;\n"
        "    net_reset(&state);\n    for (t = 0; t < 5; ++t) {\n        net_step(&state, v, v);\n"
        '        printf("%.17g %.17g\\n", v[0], v[1]);\n    }\n    return 0;\n}\n'
    )
    printed = run(compile_c(tmp_path, "main.c", "-ffp-contract=off")).stdout.split()
    stream, v, expected = net.stream(), np.array([0.5, -1]), []
    for _ in range(5):
        v = stream.step(v)
        expected += v.tolist()
    assert np.allclose(np.array(printed, float), expected, rtol=0, atol=1e-13)


def test_the_test_finds_another_weight(tmp_path):
    net = network(2, 4, 1, family="GRU", dtype="float32")
    crnn.export_c(net, tmp_path / "net.h", test=True)
    net.W_hh[7, 2] += 1e-6
    crnn.export_c(net, tmp_path / "net.h")
    done = run(compile_c(tmp_path, "net_test.c", "-ffp-contract=off"))
    assert done.returncode == 1
    assert " 0 with other bits" not in done.stdout


def test_two_networks_in_one_program(tmp_path):
    """All names of a header begin with its own."""
    for name, family in (("pump", "GRU"), ("valve", "LSTM")):
        crnn.export_c(network(2, 3, 1, family=family, dtype="float32"), tmp_path / f"{name}.h")
    (tmp_path / "both.c").write_text(
        '#include "pump.h"\n#include "valve.h"\n#include "pump.h"\n'
        "int main(void) {\n"
        "    pump_state pump;\n    valve_state valve;\n    float x[2] = {0, 1}, y[1];\n"
        "    pump_reset(&pump);\n    valve_reset(&valve);\n"
        "    pump_step(&pump, x, y);\n    valve_step(&valve, x, y);\n"
        "    return !(y[0] != 0);\n}\n"
    )
    assert run(compile_c(tmp_path, "both.c")).returncode == 0


def test_vectors_do_not_change_bits(tmp_path):
    net = network(3, 40, 2, family="LSTM", dtype="float32")
    crnn.export_c(net, tmp_path / "net.h", test=True)
    flags = ["-ffp-contract=off", "-march=native"]
    assert run(compile_c(tmp_path, "net_test.c", *flags, optimize="-O3")).returncode == 0


@dtypes
def test_activations(dtype):
    """Within 2 and 4 units in the last place, as the kernels; the emulation has the C's bits."""
    values = np.random.default_rng(0).uniform(-20, 20, 100_000).astype(dtype)
    values = np.concatenate([values, values / 1000, values * 4])
    wide = values.astype(np.longdouble)
    for function, expected, most in (
        (emulation.tanh, np.tanh(wide), 2),
        (emulation.sigmoid, 1 / (1 + np.exp(-wide)), 4),
    ):
        with np.errstate(all="ignore"):
            error = np.abs(function(values) - expected) / np.spacing(expected.astype(dtype))
            special = function(np.array([np.inf, -np.inf, np.nan, 0.0], dtype))
        assert error.max() <= most
        assert special[0] == 1
        assert np.isnan(special[2])
    # That of the softmax, whose arguments are at most 0
    negative = -abs(values[abs(values) < 80])
    expected = np.exp(negative.astype(np.longdouble))
    error = np.abs(emulation.exp(negative) - expected) / np.spacing(expected.astype(dtype))
    assert error.max() <= 2
    least = emulation.exp(np.array([-np.inf, -1000, 0], dtype))
    assert least[0] == least[1] < 2e-38
    assert least[2] == 1
    assert emulation.tanh(np.array([-np.inf], dtype))[0] == -1


def test_sizes(tmp_path):
    net = crnn.LSTM(8, 32, 4, num_layers=2, seed=0)
    whole = crnn.export_c(net, tmp_path / "net.h")
    assert whole.flash == 4 * net.flat_params.size
    assert whole.ram == 2 * 2 * 32 * 4
    text = (tmp_path / "net.h").read_text()
    assert f"Flash: {whole.flash} bytes" in text
    assert f"RAM: {whole.ram} bytes" in text
    half, quarter = (
        crnn.export_c(net, tmp_path / "net.h", weights=kind).flash for kind in ("bfloat16", "int8")
    )
    biases = 4 * (2 * 4 * 32 + 4)
    assert half - biases == (whole.flash - biases) / 2
    scales = 4 * (2 * 2 * 4 * 32 + 4)
    assert quarter - biases - scales == (whole.flash - biases) / 4


def test_only_string_h_is_included(tmp_path):
    crnn.export_c(crnn.GRU(2, 3, 1, seed=0), tmp_path / "net.h", weights="bfloat16")
    lines = (tmp_path / "net.h").read_text().splitlines()
    assert [line for line in lines if "#include" in line] == ["#include <string.h>"]
    assert max(map(len, lines)) <= 110


@pytest.mark.parametrize("name", ["int", "_net", "a__b", "2x", "größe", "a-b", "class", "a_", ""])
def test_names_that_c_does_not_take(name, tmp_path):
    with pytest.raises(ValueError, match=r"^name: expected an identifier of C and C\+\+"):
        crnn.export_c(crnn.RNN(1, 2, 1), tmp_path / "net.h", name=name)
    assert not list(tmp_path.iterdir())


def test_refusals_write_nothing(tmp_path):
    path = tmp_path / "net.h"
    net = crnn.RNN(1, 2, 1)
    for arguments, error, message in (
        ((crnn.RNN(1, 2, 1, bidirectional=True), path), ValueError, "^net: .*one direction"),
        (
            (crnn.RNN(1, 2, 1, leak=0.5), path),
            ValueError,
            "^net: expected a network without a leak for a C header",
        ),
        (
            (
                crnn.Sequential(
                    [dense(2, 1, None, "float32"), crnn.RNN(1, 2, 1, bidirectional=True)]
                ),
                path,
            ),
            ValueError,
            r"^parts\[1\]: net: .*one direction",
        ),
        (("net", path), TypeError, "^net: expected an RNN, GRU, LSTM or Sequential"),
        ((net, tmp_path / "2.h"), ValueError, r"2\.h: name: expected an identifier"),
        ((net, tmp_path / 'a".h'), ValueError, "expected an identifier"),
        ((net, tmp_path / "net??-.h"), ValueError, "expected an identifier"),
    ):
        with pytest.raises(error, match=message):
            crnn.export_c(*arguments)
    for settings, error, message in (
        ({"weights": "int4"}, ValueError, "^weights: expected 'bfloat16' or 'int8', got 'int4'"),
        ({"name": 3}, TypeError, "^name: expected a text, got int"),
        ({"x": np.ones((3, 2))}, ValueError, "^x: "),
        ({"x": np.ones((0, 1))}, ValueError, "^x: expected data of one step at least"),
        ({"test": 1}, TypeError, "^test: "),
        # One of the two files would replace the other.
        ({"test": True, "path": tmp_path / "a_test.c", "name": "a"}, ValueError, "^path: .* test"),
    ):
        with pytest.raises(error, match=message):
            crnn.export_c(net, **{"path": path} | settings)
    net.W_hh[1, 0] = 3.4e38
    with pytest.raises(ValueError, match=r"^weights: .*bfloat16 can hold, got 3\.4e\+38 in W_hh"):
        crnn.export_c(net, path, weights="bfloat16")
    net.W_hh[1, 0] = np.nan
    with pytest.raises(ValueError, match=r"^net: expected finite parameters.* W_hh"):
        crnn.export_c(net, path)
    assert not list(tmp_path.iterdir())


def test_other_files_stay(tmp_path):
    net, header, test = crnn.RNN(1, 2, 1), tmp_path / "net.h", tmp_path / "net_test.c"
    test.write_text("mine")
    with pytest.raises(FileExistsError, match=r"net_test\.c: expected no file or one that"):
        crnn.export_c(net, header, test=True)
    assert not header.exists()
    crnn.export_c(net, header)
    before = header.read_text()
    crnn.export_c(net, header, name="other")
    assert header.read_text() != before
    header.write_text("mine")
    with pytest.raises(FileExistsError, match=r"net\.h: expected no file"):
        crnn.export_c(net, header)
    assert header.read_text() == test.read_text() == "mine"
    crnn.export_c(net, header, test=True, overwrite=True)
    assert header.read_text() == before


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_pipes(tmp_path):
    """Reading what is there would wait for a writer."""
    os.mkfifo(tmp_path / "net.h")
    with pytest.raises(OSError, match="expected a path for a file, got a device or a pipe"):
        crnn.export_c(crnn.RNN(1, 2, 1), tmp_path / "net.h")


@pytest.fixture
def pump(tmp_path):
    """A network and the folder with its header and the examples."""
    net = network(2, 12, 1, family="GRU", dtype="float32")
    crnn.export_c(net, tmp_path / "pump.h")
    for source in EXAMPLES.iterdir():
        shutil.copy(source, tmp_path)
    return net, tmp_path


def test_example_in_cpp(pump):
    net, folder = pump
    program = compile_c(folder, "controller.cpp", compiler="g++", language="C++11")
    x = inputs(net, None, 20)
    done = run(program, "\n".join(f"{a:.9g} {b:.9g}" for a, b in x))
    y = np.array(done.stdout.split(), np.float32).reshape(20, 1)
    assert np.abs(y - net.predict(x)).max() < 1e-6 * np.abs(y).max()


def test_example_of_a_sensor(pump):
    net, folder = pump
    done = run(compile_c(folder, "sensor.c"))
    t, i = np.arange(40)[:, None], np.arange(2)
    y = net.predict(((t * (i + 3)) % 17 - 8) / 4)
    expected = "".join("01"[int(value > -0.5)] for value in y[:, 0])
    assert done.stdout == expected + "\n"
    assert len(set(expected)) == 2


def test_example_of_a_sensor_on_a_cortex_m(tmp_path):
    if not all(map(shutil.which, ("arm-none-eabi-gcc", "qemu-system-arm"))):
        pytest.skip("no compiler for Cortex-M, or no QEMU that runs its programs")
    bits = module_of("tests/proofs/exported/bits.py")
    expected = bits.sensor_expected(tmp_path)
    status, said = bits.build_and_run("Cortex-M4F", EXAMPLES / "sensor.c", tmp_path, tmp_path)
    assert (status, said.strip()) == (0, expected)
