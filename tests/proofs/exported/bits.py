"""Headers of `export_c` on several processors: the same bits, and the sensor of examples/.

    python bits.py FOLDER [--targets s390x AArch64] [--plant]

For each target the tests of some networks are compiled without a warning, with contraction off, and
run: every output has to have the bits that the emulation in NumPy has. A target whose tools are
missing is an error. `--plant` changes the sign of one bias in each header: then every test has to
fail.
"""

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

import crnn

HERE = Path(__file__).parent
EXAMPLES = HERE.parents[2] / "examples" / "exported"
sys.path.insert(0, str(HERE.parents[1] / "support"))
from chain_problems import chain  # noqa: E402 (the folder is known only now)
from network_problems import CELLS, network  # noqa: E402

FLAGS = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wdouble-promotion"]
FLAGS += ["-Werror", "-ffp-contract=off"]

CORTEX = ["-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16"]
CORTEX += ["--specs=rdimon.specs", "-T", str(HERE / "cortex_m.ld")]
BOARD = ["-M", "mps2-an386", "-nographic", "-semihosting-config", "enable=on,target=native"]
# The compiler, and what runs a program
TARGETS = {
    "x86-64, GCC -O2": (["gcc", "-O2"], []),
    "x86-64, GCC -O3 -march=native": (["gcc", "-O3", "-march=native"], []),
    "x86-64, Clang -O3 -march=native": (["clang", "-O3", "-march=native"], []),
    "AArch64": (["aarch64-linux-gnu-gcc", "-O3", "-static"], ["qemu-aarch64"]),
    # Strict C99 would round sums of floats late there.
    "s390x": (
        ["s390x-linux-gnu-gcc", "-O3", "-static", "-fexcess-precision=fast"],
        ["qemu-s390x"],
    ),
    "Cortex-M4F": (
        ["arm-none-eabi-gcc", "-O2", *CORTEX, str(HERE / "cortex_m.c")],
        ["qemu-system-arm", *BOARD, "-kernel"],
    ),
    "WebAssembly": (
        [sys.executable, "-m", "ziglang", "cc", "-O2", "-target", "wasm32-wasi"],
        ["node", "--no-warnings", str(HERE / "webassembly.mjs")],
    ),
}


def networks():
    """Yield networks and what their weights become."""
    for cell in CELLS.values():
        for dtype in ("float32", "float64"):
            yield network(3, 21, 2, dtype=dtype, num_layers=2, trainable_h0=True, **cell), None
    yield network(5, 40, 3, dtype="float32", **CELLS["lstm"]), "int8"
    yield network(5, 40, 3, dtype="float32", categorical=True, **CELLS["gru"]), "bfloat16"
    yield network(4, 9, None, dtype="float64", **CELLS["gru reset before"]), "int8"
    yield chain(["gru", "lstm"], ["tanh", "relu", "softmax"], "float32"), None
    yield chain(["tanh", "gru reset before"], [None, "sigmoid", "softmax"], "float64"), None
    yield chain(["relu"], ["relu", "tanh"], "float32"), "bfloat16"


def export(folder, plant):
    """Write all headers and tests, and return the paths of the tests and the number of outputs."""
    tests, outputs = [], 0
    for number, (net, weights) in enumerate(networks()):
        header = folder / f"net_{number}.h"
        tests.append(crnn.export_c(net, header, weights=weights, test=True).test_path)
        outputs += 128 * (net.output_size or net.hidden_size)
        if plant:
            # The sign of the first bias
            text = header.read_text()
            first = re.search(rf"net_{number}_(part\d+_)?b_\w+\[", text)[0]
            before, array, after = text.partition(first)
            opening, brace, numbers = after.partition("{\n    ")
            changed = before + array + opening + brace + "-" + numbers
            changed = changed.replace("{\n    --", "{\n    ", 1)
            header.write_text(changed)
    return tests, outputs


def build_and_run(target, source, folder, include):
    """Compile a program for a target and run it; return its exit status and what it prints."""
    compiler, runner = TARGETS[target]
    program = folder / "program"
    subprocess.run([*compiler, *FLAGS, f"-I{include}", source, "-o", program], check=True)
    done = subprocess.run([*runner, program], capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout + done.stderr


def sensor_expected(folder):
    """Write the header of the sensor, and return what the sensor prints."""
    net = network(2, 12, 1, family="GRU", dtype="float32")
    crnn.export_c(net, folder / "pump.h", overwrite=True)
    t, i = np.arange(40)[:, None], np.arange(2)
    y = net.predict(((t * (i + 3)) % 17 - 8) / 4)
    return "".join("01"[int(value > -0.5)] for value in y[:, 0])


def main():
    """Print a line for each target; exit with 1 if one is not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--targets", nargs="+", default=[""], help="parts of their names")
    parser.add_argument("--plant", action="store_true", help="a fault in each header")
    arguments = parser.parse_args()
    shutil.rmtree(arguments.folder, ignore_errors=True)
    arguments.folder.mkdir(parents=True)
    tests, outputs = export(arguments.folder, arguments.plant)
    printed = sensor_expected(arguments.folder)
    all_good = True
    for target in TARGETS:
        if not any(part in target for part in arguments.targets):
            continue
        results = [build_and_run(target, test, arguments.folder, ".") for test in tests]
        same = [status == 0 and " 0 with other bits" in said for status, said in results]
        sensor = build_and_run(target, EXAMPLES / "sensor.c", arguments.folder, arguments.folder)
        sensor_is_right = sensor[1].strip() == printed
        print(
            f"{target}: {sum(same)} of {len(same)} networks with the same bits, {outputs} outputs; "
            f"sensor {'right' if sensor_is_right else 'WRONG'}",
            flush=True,
        )
        for (_, said), is_same in zip(results, same, strict=True):
            if is_same == arguments.plant:
                print("   ", said.strip(), flush=True)
        all_good &= sensor_is_right and (not any(same) if arguments.plant else all(same))
    sys.exit(not all_good)


if __name__ == "__main__":
    main()
