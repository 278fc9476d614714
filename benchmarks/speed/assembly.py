"""The hot loops as compiled: `python -m benchmarks.speed.assembly`, which needs objdump.

It prints the innermost loops of the matrix product and of one sequence's step for each instruction
set: the multiply-adds, the instructions, the registers, and the instructions that move an
accumulator to the stack or back.
"""

import re
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec

BUILDS = ("_baseline", "_avx2", "_avx512")
# Cython's names of the specialisations for float32 and float64
DTYPES = {"fuse_0": "float32", "fuse_1": "float64"}
FUNCTIONS = {"wide_tile_MR": "tile", "row_product": "one sequence"}
SHOWN = 4

# Without fused multiply-adds, each multiplication has its addition beside it.
MULTIPLY_ADD = re.compile(r"vf(n)?m(add|sub)\d+p|^mulp")
STACK = re.compile(r"[xyz]mm\d+.*\((%rsp|%rbp)|\((%rsp|%rbp).*[xyz]mm\d+")
REGISTER = re.compile(r"%([xyz]mm)\d")


def functions(build: str) -> Iterator[tuple[str, list[tuple[int, str]]]]:
    """Yield the name of each function and its instructions with their addresses."""
    module = find_spec(f"crnn.kernels.{build}")
    if module is None or module.origin is None:
        return
    command = ["objdump", "-d", "--no-show-raw-insn", module.origin]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for part in re.split(r"\n(?=[0-9a-f]+ <)", text):
        title = re.match(r"[0-9a-f]+ <(\S+)>:", part)
        lines = re.findall(r"^\s+([0-9a-f]+):\t(.*)$", part, re.MULTILINE)
        if title:
            yield title[1], [(int(address, 16), code) for address, code in lines]


def loops(code: list[tuple[int, str]]) -> Iterator[list[str]]:
    """Yield the bodies of the innermost loops, whose only jump goes back to their start."""
    index = {address: i for i, (address, _) in enumerate(code)}
    for end, (_, instruction) in enumerate(code):
        jump = re.match(r"j\w+\s+([0-9a-f]+)", instruction)
        start = index.get(int(jump[1], 16), end) if jump else end
        body = [text for _, text in code[start : end + 1]]
        if start < end and not any(re.match(r"j|call", text) for text in body[:-1]):
            yield body


def main() -> None:
    """Print a line for each of the loops with the most multiply-adds."""
    for build in BUILDS:
        print(build.removeprefix("_"))
        found: dict[str, set[tuple[int, int, str, int]]] = {}
        for name, code in functions(build):
            title = re.search(r"(fuse_[01]).*?(row_product|wide_tile_MR)(\.|$)", name)
            if not title:
                continue
            lines = found.setdefault(f"{FUNCTIONS[title[2]]}, {DTYPES[title[1]]}", set())
            for body in loops(code):
                multiplied = [text for text in body if MULTIPLY_ADD.search(text)]
                registers = sorted({r for text in multiplied for r in REGISTER.findall(text)})
                spills = sum(bool(STACK.search(text)) for text in body)
                if multiplied:
                    lines.add((len(multiplied), len(body), "/".join(registers), spills))
        for label in sorted(found):
            for multiplied, length, registers, spills in sorted(found[label], reverse=True)[:SHOWN]:
                print(
                    f"  {label:<24}{multiplied:>3} multiply-adds of {length:>3} instructions on "
                    f"{registers}, {spills} with the stack"
                )


if __name__ == "__main__":
    main()
