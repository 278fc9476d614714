"""A PyTorch model with PyTorch's layer and with crnn's: `python -m benchmarks.speed.replaced`.

A training step is forward pass, mse, backward pass and SGD; an inference runs without gradients.
Both models have the same weights and inputs, and their outputs have to agree. Both layers are
batch_first and use all cores. Samples alternate.
"""

import argparse
from collections.abc import Callable

import torch

import crnn.torch
from benchmarks.speed.sizes import KINDS, SIZES
from benchmarks.speed.timing import interleaved, median_and_quartiles, timer_of

OPERATIONS = ("train step", "inference")
ROUNDS, SAMPLE_SECONDS = 7, 0.05
TOLERANCE = 1e-4


class _Model(torch.nn.Module):
    def __init__(self, layer, O: int) -> None:
        super().__init__()
        self.layer, self.linear = layer, torch.nn.Linear(layer.hidden_size, O)

    def forward(self, x):
        return self.linear(self.layer(x)[0])


def _jobs(kind: str, name: str, operation: str) -> dict[str, Callable[[], object]]:
    """Return the job with each library's layer."""
    T, B, I, H, O = SIZES[name]
    torch.manual_seed(0)
    theirs = _Model(getattr(torch.nn, kind)(I, H, batch_first=True), O)
    ours = _Model(getattr(crnn.torch, kind)(I, H, batch_first=True), O)
    ours.load_state_dict(theirs.state_dict())
    x, y = torch.randn(B, T, I), torch.randn(B, T, O)
    difference = (ours(x) - theirs(x)).abs().max().item()
    if difference > TOLERANCE:
        raise AssertionError(f"{kind} {name}: the outputs differ by {difference}")

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
    """Measure, and print a Markdown table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed.replaced", description=__doc__
    )
    parser.add_argument("--sizes", default="tiny,small,medium,charlm")
    names = parser.parse_args().sizes.split(",")
    print("Milliseconds with PyTorch's layer / with crnn's = ratio, float32\n")
    print("| T, B, I, H, O | " + " | ".join(f"{k} {o}" for k in KINDS for o in OPERATIONS) + " |")
    print("|---|" + "---|" * len(KINDS) * len(OPERATIONS))
    for name in names:
        entries = [f"{name}: {', '.join(map(str, SIZES[name]))}"]
        for kind in KINDS:
            for operation in OPERATIONS:
                jobs = _jobs(kind, name, operation)
                timers = {rival: timer_of(job) for rival, job in jobs.items()}
                samples = interleaved(timers, ROUNDS, SAMPLE_SECONDS)
                theirs, ours = (
                    median_and_quartiles(samples[rival])[0] * 1e3 for rival in ("PyTorch", "crnn")
                )
                entries.append(f"{theirs:.3g} / {ours:.3g} = {theirs / ours:.1f}")
        print("| " + " | ".join(entries) + " |", flush=True)


if __name__ == "__main__":
    main()
