"""RecurrentPPO of stable-baselines3-contrib with crnn's LSTM, on a task that needs memory.

    pip install 'crnn[bench]'
    python examples/recurrent_ppo.py --picture recurrent-ppo.png

The task is CartPole without its velocities: a policy sees positions alone. `Policy` is what another
program would take over; the rest compares it with two others:

PyTorch, steps
    The policy "MlpLstmPolicy" as it is. Where an episode begins in a batch, it calls PyTorch's LSTM
    for each step.
PyTorch, one call
    `OneCall`: one call for all steps, which can do without resets, because RecurrentPPO cuts its
    batches into rows where episodes begin, and pads them.

All start from the same parameters. They learn in turn, one rollout each, so noise of the machine
affects all equally. They use one thread, and times are of the processor: on a free core the same.
"""

import argparse
import statistics
import time
from pathlib import Path

import gymnasium
import matplotlib as mpl
import numpy as np
import torch
from sb3_contrib import RecurrentPPO
from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.logger import Logger

import crnn.torch

mpl.use("Agg")
import matplotlib.pyplot as plt

ENVIRONMENTS, STEPS = 8, 128  # of a rollout
FRAMES = ENVIRONMENTS * STEPS
SETTINGS = {
    "n_steps": STEPS,
    "batch_size": 256,
    "n_epochs": 10,
    "learning_rate": 1e-3,
    "policy_kwargs": {"lstm_hidden_size": 64, "net_arch": [64]},
}
COLORS = ("#D55E00", "#009E73", "#0072B2")  # Okabe and Ito's palette


class Policy(RecurrentActorCriticPolicy):
    """The policy "MlpLstmPolicy" with crnn's LSTMs: one call for all steps of a batch."""

    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, **settings)
        self.lstm_actor = computed_by_crnn(self.lstm_actor)
        if self.lstm_critic is not None:
            self.lstm_critic = computed_by_crnn(self.lstm_critic)

    @staticmethod
    def _process_sequence(features, lstm_states, episode_starts, lstm):
        """Return the outputs (rows * steps, hidden) and the last states."""
        rows = lstm_states[0].shape[1]
        x = features.reshape(rows, -1, lstm.input_size)
        resets = episode_starts.reshape(rows, -1).bool()
        outputs, states = lstm(x, lstm_states, resets=resets)
        return outputs.flatten(0, 1), states


def computed_by_crnn(layer):
    """Return crnn's module with the parameters of PyTorch's, which the optimizer holds already."""
    twin = crnn.torch.LSTM(layer.input_size, layer.hidden_size, layer.num_layers, batch_first=True)
    for name, parameter in layer.named_parameters():
        setattr(twin, name, parameter)
    return twin


class OneCall(RecurrentActorCriticPolicy):
    """The policy "MlpLstmPolicy" for rows that begin an episode at their first step or nowhere."""

    @staticmethod
    def _process_sequence(features, lstm_states, episode_starts, lstm):
        """Return the outputs (rows * steps, hidden) and the last states."""
        rows = lstm_states[0].shape[1]
        x = features.reshape(rows, -1, lstm.input_size).transpose(0, 1)
        goes_on = 1 - episode_starts.reshape(rows, -1)[:, :1]
        outputs, states = lstm(x, tuple(goes_on * state for state in lstm_states))
        return outputs.transpose(0, 1).flatten(0, 1), states


POLICIES = {
    "PyTorch, steps": RecurrentActorCriticPolicy,
    "PyTorch, one call": OneCall,
    "crnn": Policy,
}


class PositionsAlone(gymnasium.ObservationWrapper):
    """CartPole's position of the cart and angle of the pole, without their velocities."""

    SHOWN = np.array([0, 2])

    def __init__(self, env):
        super().__init__(env)
        every = env.observation_space
        self.observation_space = gymnasium.spaces.Box(every.low[self.SHOWN], every.high[self.SHOWN])

    def observation(self, observation):
        """Return what the policy sees of an observation."""
        return observation[self.SHOWN]


class Clock(BaseCallback):
    """For each rollout: the seconds that it took, those of the update, and the mean return.

    The return is that of the last 100 episodes.
    """

    def __init__(self):
        super().__init__()
        self.collection, self.update, self.returns = [], [], []

    def _on_rollout_start(self):
        self.start = time.process_time()

    def _on_step(self):
        return True

    def _on_rollout_end(self):
        self.end = time.process_time()
        self.collection.append(self.end - self.start)

    def _on_training_end(self):
        self.update.append(time.process_time() - self.end)
        self.returns.append(np.mean([episode["r"] for episode in self.model.ep_info_buffer]))

    def seconds(self):
        """Return the seconds of the processor up to the end of each update."""
        return np.cumsum(np.add(self.collection, self.update))


def model_of(policy, seed, **settings):
    """Return a model of CartPole without velocities."""
    environments = make_vec_env(
        "CartPole-v1", ENVIRONMENTS, seed=seed, wrapper_class=PositionsAlone
    )
    model = RecurrentPPO(policy, environments, seed=seed, device="cpu", **SETTINGS | settings)
    model.set_logger(Logger(None, []))
    return model


def learn(rollouts, seed):
    """Return the clock of each policy after it has learned from so many rollouts."""
    clocks = {name: Clock() for name in POLICIES}
    models = {name: model_of(policy, seed) for name, policy in POLICIES.items()}
    for _ in range(rollouts):
        for name, model in models.items():
            model.learn(FRAMES, clocks[name], reset_num_timesteps=False)
    return clocks


def show(runs):
    """Print what a rollout and its update take, and the frames a second: medians."""
    print(f"{'LSTM':<18}{'frames/s':>9}{'rollout':>10}{'update':>10}{'return':>8}")
    for name in POLICIES:
        clocks = [clocks[name] for clocks in runs]
        collection, update = (
            statistics.median(seconds for clock in clocks for seconds in getattr(clock, part))
            for part in ("collection", "update")
        )
        frames = FRAMES * sum(len(clock.returns) for clock in clocks)
        rate = frames / sum(clock.seconds()[-1] for clock in clocks)
        last = np.mean([clock.returns[-1] for clock in clocks])
        print(f"{name:<18}{rate:>9.0f}{collection:>8.3f} s{update:>8.3f} s{last:>8.0f}")


def draw(runs, path):
    """Draw the returns over frames and over seconds, a line for each seed."""
    figure, (over_frames, over_seconds) = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True)
    for clocks in runs:
        for name, color in zip(POLICIES, COLORS, strict=True):
            clock = clocks[name]
            style = {"color": color, "linewidth": 1.3, "label": name if clocks is runs[0] else None}
            frames = FRAMES * np.arange(1, len(clock.returns) + 1)
            over_frames.plot(frames / 1000, clock.returns, **style)
            over_seconds.plot(clock.seconds(), clock.returns, **style)
    for panel in (over_frames, over_seconds):
        panel.grid(color="0.9")
        panel.spines[["top", "right"]].set_visible(False)
    over_frames.set_ylabel("mean return of 100 episodes")
    over_frames.set_xlabel("thousand frames")
    over_seconds.set_xlabel("seconds of one core")
    over_frames.legend(frameon=False, loc="upper left")
    figure.suptitle("RecurrentPPO on CartPole without velocities, by seed", fontsize=11)
    figure.tight_layout()
    figure.savefig(path, dpi=100)


def main():
    """Learn with each policy, print a table, and draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--rollouts", type=int, default=55, help=f"of {FRAMES} frames (%(default)s)"
    )
    parser.add_argument("--seeds", type=int, default=3, help="runs (%(default)s)")
    parser.add_argument("--picture", type=Path, help="where to draw the returns")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    crnn.set_num_threads(1)
    runs = [learn(chosen.rollouts, seed) for seed in range(chosen.seeds)]
    show(runs)
    if chosen.picture is not None:
        draw(runs, chosen.picture)


if __name__ == "__main__":
    main()
