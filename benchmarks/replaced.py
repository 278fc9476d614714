"""One PyTorch model, its layer PyTorch's or crnn's: `python -m benchmarks.replaced`.

A training step is forward pass, mse, backward pass and SGD; an inference runs without gradients.
Both models have the same weights and inputs, and have to compute the same. The layers take batches
first and all cores; samples alternate.
"""

import argparse

import torch

import crnn.torch
from benchmarks.cells import CELLS, KINDS
from benchmarks.timing import interleaved, spread

OPERATIONS = ("train step", "inference")
ROUNDS, SAMPLE_SECONDS = 7, 0.05
TOLERANCE = 1e-4


class _Model(torch.nn.Module):
    def __init__(self, layer, O: int) -> None:
        super().__init__()
        self.layer, self.linear = layer, torch.nn.Linear(layer.hidden_size, O)

    def forward(self, x):
        return self.linear(self.layer(x)[0])


def _jobs(kind: str, cell: str, operation: str) -> dict[str, object]:
    """Return what is timed, by whose layer it is."""
    T, B, I, H, O = CELLS[cell]
    torch.manual_seed(0)
    theirs = _Model(getattr(torch.nn, kind)(I, H, batch_first=True), O)
    ours = _Model(getattr(crnn.torch, kind)(I, H, batch_first=True), O)
    ours.load_state_dict(theirs.state_dict())
    x, y = torch.randn(B, T, I), torch.randn(B, T, O)
    difference = (ours(x) - theirs(x)).abs().max().item()
    if difference > TOLERANCE:
        raise AssertionError(f"{kind} {cell}: the outputs differ by {difference}")

    def job(model):
        sgd = torch.optim.SGD(model.parameters(), lr=1e-6)

        def train():
            sgd.zero_grad()
            torch.nn.functional.mse_loss(model(x), y).backward()
            sgd.step()

        def infer():
            with torch.inference_mode():
                model(x)

        return train if operation == "train step" else infer

    return {"PyTorch": job(theirs), "crnn": job(ours)}


def main() -> None:
    """Measure, and print a table as README has it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.replaced", description=__doc__)
    parser.add_argument("--cells", default="tiny,small,medium,charlm")
    cells = parser.parse_args().cells.split(",")
    print("Times with PyTorch's layer / with crnn's, float32, ms, and how many times as fast\n")
    print(
        "| cell: T, B, I, H, O | "
        + " | ".join(f"{k} {o}" for k in KINDS for o in OPERATIONS)
        + " |"
    )
    print("|---|" + "---|" * len(KINDS) * len(OPERATIONS))
    for cell in cells:
        entries = [f"{cell}: {', '.join(map(str, CELLS[cell]))}"]
        for kind in KINDS:
            for operation in OPERATIONS:
                samples = interleaved(_jobs(kind, cell, operation), ROUNDS, SAMPLE_SECONDS)
                theirs, ours = (spread(samples[name])[0] * 1e3 for name in ("PyTorch", "crnn"))
                entries.append(f"{theirs:.3g} / {ours:.3g} = {theirs / ours:.1f}")
        print("| " + " | ".join(entries) + " |", flush=True)


if __name__ == "__main__":
    main()
