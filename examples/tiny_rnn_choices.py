"""How many units explain choices? Tiny GRUs fitted to simulated agents, by cross-validation.

Agents choose between two arms, one of which pays more often; now and then they change places.
Tiny networks learn to predict each choice from the choices and rewards before, as Ji-An, Benna and
Mattar do with animals ("Discovering cognitive strategies with tiny recurrent neural networks",
Nature, 2025). The likelihood of a held-out choice grows with the units up to the number of
variables that the agent keeps, as far as they matter for its choices:

one value       the difference of both arms, moved by each reward
two values      of each arm (Q-learning), of which the chosen one is updated
two and a habit Q-learning, and a trace of the last choices

For each number of units there is one fleet: agents x folds x seeds x penalties. Of each fold one
part is test data, one decides when training stops and which seed and penalty are kept, and the
others are trained on.

    python examples/tiny_rnn_choices.py --plot choices.png
    python examples/tiny_rnn_choices.py --torch     # the time that PyTorch takes, from some steps
"""

import argparse
import itertools
import time
from typing import NamedTuple

import numpy as np

import crnn

UNITS = (1, 2, 3, 4)
BLOCKS, TRIALS, FOLDS, SEEDS = 50, 150, 5, 3
PENALTIES = (0.0, 1e-4, 1e-3)  # L1
EPOCHS, BATCH, PATIENCE, RATE = 150, 10, 40, 0.02
PAYS, REVERSES = 0.8, 0.04  # probabilities


class Agent(NamedTuple):
    """How values are learned and choices made."""

    rate: float
    temperature: float
    updates_both: bool
    habit: float


AGENTS = {
    "one value": Agent(rate=0.3, temperature=3.0, updates_both=True, habit=0.0),
    "two values": Agent(rate=0.5, temperature=4.0, updates_both=False, habit=0.0),
    "two and a habit": Agent(rate=0.5, temperature=3.0, updates_both=False, habit=1.5),
}


def simulate(agent: Agent, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return choices and rewards (BLOCKS, TRIALS), and the probabilities of these choices."""
    b = np.arange(BLOCKS)
    choices, rewards, likelihoods = (np.zeros((BLOCKS, TRIALS)) for _ in range(3))
    values, trace = np.full((BLOCKS, 2), 0.5), np.zeros((BLOCKS, 2))
    better = rng.integers(0, 2, BLOCKS)
    for t in range(TRIALS):
        drive = agent.temperature * values + agent.habit * trace
        p = 1 / (1 + np.exp(drive[:, 0] - drive[:, 1]))  # of arm 1
        choice = (rng.random(BLOCKS) < p).astype(int)
        reward = (rng.random(BLOCKS) < np.where(choice == better, PAYS, 1 - PAYS)).astype(float)
        choices[:, t], rewards[:, t] = choice, reward
        likelihoods[:, t] = np.where(choice == 1, p, 1 - p)
        values[b, choice] += agent.rate * (reward - values[b, choice])
        if agent.updates_both:
            values[b, 1 - choice] = 1 - values[b, choice]
        trace *= 0.7
        trace[b, choice] += 0.3
        better = np.where(rng.random(BLOCKS) < REVERSES, 1 - better, better)
    return choices.astype(int), rewards, likelihoods


def inputs_of(choices: np.ndarray, rewards: np.ndarray) -> np.ndarray:
    """Return which of the four outcomes the trial before had (one-hot), zeros at first.

    One unit could not learn from a choice and a reward apart: what a reward says depends on the
    choice.
    """
    x = np.zeros((*choices.shape, 4), np.float32)
    x[:, 1:] = np.eye(4)[(2 * choices + rewards.astype(int))[:, :-1]]
    return x


class Split(NamedTuple):
    """The blocks of a fold: for training, for validation and for the test."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def splits() -> list[Split]:
    """Return the blocks of each fold."""
    parts = np.array_split(np.arange(BLOCKS), FOLDS)
    return [
        Split(
            np.concatenate([parts[(fold + k) % FOLDS] for k in range(2, FOLDS)]),
            parts[(fold + 1) % FOLDS],
            parts[fold],
        )
        for fold in range(FOLDS)
    ]


def torch_seconds(units: int, x: np.ndarray, y: np.ndarray, steps: int = 30) -> list[float]:
    """Return the time of a training step of all models in PyTorch: in a loop, and together.

    Together the recurrence is written by hand, with a product for each model in one call:
    ``torch.vmap`` does not take recurrent layers.
    """
    import torch

    torch.set_num_threads(1)  # the fastest for so little work
    N, _, T, I = x.shape
    layer, output = torch.nn.GRU(I, units, batch_first=True), torch.nn.Linear(units, 2)
    inputs, targets = torch.from_numpy(x), torch.from_numpy(y)
    own = [*layer.parameters(), *output.parameters()]
    stacked = [torch.stack([one.detach()] * N).requires_grad_() for one in own]

    def one() -> torch.Tensor:
        return output(layer(inputs[0])[0])

    def together() -> torch.Tensor:
        W_xh, W_hh, b_xh, b_hh, W_hy, b_y = stacked
        W_hh, b_hh = W_hh.transpose(1, 2), b_hh[:, None]
        projected = inputs @ W_xh.transpose(1, 2)[:, None] + b_xh[:, None, None]
        h, states = torch.zeros(N, x.shape[1], units), []
        for t in range(T):
            a, z = torch.baddbmm(b_hh, h, W_hh), projected[:, :, t]
            r, u = torch.sigmoid(z[..., : 2 * units] + a[..., : 2 * units]).chunk(2, -1)
            n = torch.tanh(z[..., 2 * units :] + r * a[..., 2 * units :])
            h = n + u * (h - n)
            states.append(h)
        return torch.stack(states, 2) @ W_hy.transpose(1, 2)[:, None] + b_y[:, None, None]

    assert torch.allclose(one(), together()[0], atol=1e-5)
    seconds = []
    for run, parameters, wanted in ((one, own, targets[0]), (together, stacked, targets)):
        optimizer, started = torch.optim.Adam(parameters, RATE), 0.0
        for step in range(steps + 3):
            if step == 3:  # after some to warm up
                started = time.perf_counter()
            optimizer.zero_grad()
            losses = torch.nn.functional.cross_entropy(
                run().reshape(-1, 2), wanted.reshape(-1), reduction="sum"
            )
            losses.backward()
            optimizer.step()
        seconds.append((time.perf_counter() - started) / steps)
    return [N * seconds[0], seconds[1]]


def main() -> None:
    """Fit the fleets, print a table, draw the picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--plot", metavar="FILE", help="a picture of the likelihoods")
    parser.add_argument("--torch", action="store_true", help="measure steps of PyTorch, too")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    names, folds = list(AGENTS), splits()
    simulated = {name: simulate(agent, rng) for name, agent in AGENTS.items()}
    x = {name: inputs_of(choices, rewards) for name, (choices, rewards, _) in simulated.items()}
    y = {name: choices for name, (choices, _, _) in simulated.items()}
    cases = list(itertools.product(names, range(FOLDS), PENALTIES, range(SEEDS)))

    def data(part: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the data of all models."""
        blocks = [(name, getattr(folds[fold], part)) for name, fold, _, _ in cases]
        return np.stack([x[n][rows] for n, rows in blocks]), np.stack(
            [y[n][rows] for n, rows in blocks]
        )

    train, validation, test = data("train"), data("validation"), data("test")
    l1 = np.array([penalty for _, _, penalty, _ in cases])
    likelihoods = np.zeros((len(UNITS), len(names), FOLDS))
    of_torch, batches = np.zeros(2), -(-train[0].shape[1] // BATCH)
    started = time.perf_counter()
    for k, units in enumerate(UNITS):
        before = time.perf_counter()
        fleet = crnn.Fleet(crnn.GRU(4, units, 2), n=len(cases), seed=units)
        history = fleet.fit(
            *train, epochs=options.epochs, batch_size=BATCH, optimizer=crnn.Adam(RATE), l1=l1,
            loss="cross_entropy", validation_data=validation, patience=PATIENCE,
        )  # fmt: skip
        losses = fleet.loss(*test, "cross_entropy")
        for a, fold in np.ndindex(len(names), FOLDS):
            own = [n for n, case in enumerate(cases) if case[:2] == (names[a], fold)]
            best = own[int(np.argmin(history.best_loss[own]))]
            likelihoods[k, a, fold] = np.exp(-losses[best])
        print(
            f"{units} units: {len(fleet)} models, {history.epochs.sum()} epochs of models, "
            f"{time.perf_counter() - before:.1f} s",
            flush=True,
        )
        if options.torch:
            # Together all models go on until the last one stops.
            epochs = np.array([history.epochs.mean(), history.epochs.max()])
            before = time.perf_counter()
            of_torch += (
                batches * epochs * torch_seconds(units, train[0][:, :BATCH], train[1][:, :BATCH])
            )
            started += time.perf_counter() - before
    print(f"{time.perf_counter() - started:.0f} s in all")
    if options.torch:
        print(
            f"PyTorch, from {30 * len(UNITS)} steps: {of_torch[0]:.0f} s model by model, "
            f"{of_torch[1]:.0f} s together by hand"
        )
    print("\nlikelihood of a choice, mean over the folds")
    print(f"{'':<17}" + "".join(f"{units:>9}" for units in UNITS) + f"{'the agent':>12}")
    truth = {n: np.exp(np.log(p).mean()) for n, (_, _, p) in simulated.items()}
    for a, name in enumerate(names):
        means = likelihoods[:, a].mean(axis=1)
        print(f"{name:<17}" + "".join(f"{mean:>9.4f}" for mean in means) + f"{truth[name]:>12.4f}")
    if options.plot:
        draw(options.plot, likelihoods, truth)


def draw(path: str, likelihoods: np.ndarray, truth: dict[str, float]) -> None:
    """Draw the likelihoods over the units."""
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
    for a, (name, value) in enumerate(truth.items()):
        means, errors = likelihoods[:, a].mean(axis=1), likelihoods[:, a].std(axis=1)
        ax.errorbar(UNITS, means, errors / np.sqrt(FOLDS), marker="o", capsize=3, color=f"C{a}",
                    label=name)  # fmt: skip
        ax.axhline(value, color=f"C{a}", linestyle=":", linewidth=1)
    ax.set(xlabel="units", ylabel="likelihood of a held-out choice", xticks=UNITS)
    figure.legend(title="the agent keeps (dotted: its own likelihood)", ncols=len(truth),
                  loc="outside lower center")  # fmt: skip
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
