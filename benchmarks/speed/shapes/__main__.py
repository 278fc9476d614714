"""Measure all shapes, and print what is behind its target."""

import argparse

import benchmarks.speed.shapes
from benchmarks.speed.shapes.measure import measure_all, missed

ROUNDS = 7


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed.shapes", description=benchmarks.speed.shapes.__doc__
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    lines = missed(list(measure_all(parser.parse_args().rounds)))
    print("\nbehind the targets:" if lines else "\nall targets met")
    for line in lines:
        print(f"  {line}")


if __name__ == "__main__":
    main()
