"""Proves that Ctrl-C is answered within 0.2 s and leaves a network at its last whole step.

Each call below is made again and again. A child process sends SIGINT at moments spread over the
time that the call takes. The proof measures how long the exception takes to arrive, and how much of
that time the process computes: with more programs than cores it waits for the rest. Then it checks
what the call has left: parameters and optimizer are those after some number of whole steps, a
stream's state is as before, and the next call gives the right numbers.
"""

import argparse
import copy
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import crnn
from crnn.forecasting import Forecaster
from crnn.text import TextModel

LIMIT = 0.2
RNG = np.random.default_rng(0)


def values(*shape):
    """Return random numbers."""
    return RNG.standard_normal(shape, np.float32)


def seconds_computed(process):
    """Return the seconds that all threads of a process have computed."""
    return time.clock_gettime((~process << 3) | 2)  # what clock_getcpuclockid returns on Linux


def interrupted(call, delay):
    """Return the seconds from SIGINT to its exception, and those that this process computed.

    None where the call was over before.
    """
    ready, sent = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.read(ready[0], 1)
        time.sleep(delay)
        now = time.monotonic(), seconds_computed(os.getppid())
        os.kill(os.getppid(), signal.SIGINT)
        os.write(sent[1], " ".join(map(repr, now)).encode())
        os._exit(0)
    over = answered = None
    try:
        try:
            os.write(ready[1], b"!")
            call()
            over = time.monotonic()
            time.sleep(60)
        except KeyboardInterrupt:
            answered = time.monotonic(), seconds_computed(os.getpid())
    finally:
        moment = [float(word) for word in os.read(sent[0], 64).split()]
        os.waitpid(child, 0)
        for end in (*ready, *sent):
            os.close(end)
    if over is not None and over < moment[0]:
        return None
    return answered[0] - moment[0], answered[1] - moment[1]


class Prediction:
    """A call that changes nothing: a short one gives the same numbers before and after."""

    def __init__(self, net, x, method="predict"):
        self.call = lambda: getattr(net, method)(x)
        self._short = lambda: np.asarray(net.predict(x[..., :50, :]))
        self._expected = self._short()

    def check(self):
        """Raise if something changed."""
        assert np.array_equal(self._short(), self._expected)


class Run:
    """A block of a stream: the state is as before."""

    def __init__(self, net, x):
        self._stream = net.stream()
        self._stream.step(x[0])
        self._before, self._next = np.array(self._stream.state), x[:5]
        self._expected = self._stream.copy().run(self._next)
        self.call = lambda: self._stream.run(x)

    def check(self):
        """Raise if the state has changed."""
        assert np.array_equal(self._stream.state, self._before)
        assert np.array_equal(self._stream.copy().run(self._next), self._expected)


class Training:
    """Steps of training: a twin that takes as many gets the same numbers.

    `train(net, optimizer)` is what is interrupted, `steps(net, optimizer)` yields after each step
    of the same training.
    """

    def __init__(self, make, train, steps):
        self._make, self._train, self._steps = make, train, steps
        self.taken = []

    def prepare(self):
        """Make a new network."""
        self._net, self._optimizer = self._make(), crnn.Adam(1e-4)

    def call(self):
        """Train it."""
        self._train(self._net, self._optimizer)

    def check(self):
        """Raise unless a twin gets here by whole steps, and both go on alike."""
        net, optimizer = self._make(), crnn.Adam(1e-4)
        steps = self._steps(net, optimizer)
        for _ in range(self._optimizer.steps):
            next(steps)
        self.taken.append(optimizer.steps)
        assert net.flat_params.tobytes() == self._net.flat_params.tobytes()
        assert optimizer.last_lr == self._optimizer.last_lr
        assert optimizer.memory.keys() == self._optimizer.memory.keys()
        for name, vector in optimizer.memory.items():
            assert vector.tobytes() == self._optimizer.memory[name].tobytes(), name
        x, y = values(3, 20, net.input_size), values(3, 20, net.output_size)
        net.train_step(x, y, optimizer)
        self._net.train_step(x, y, self._optimizer)
        assert net.flat_params.tobytes() == self._net.flat_params.tobytes()


def training(make, x, y, size):
    """Return the training of `fit` without shuffling, batch by batch."""

    def train(net, optimizer):
        net.fit(x, y, epochs=1000, batch_size=size, optimizer=optimizer, shuffle=False)

    def steps(net, optimizer):
        while True:
            for first in range(0, len(x), size):
                net.train_step(x[first : first + size], y[first : first + size], optimizer)
                yield

    return Training(make, train, steps)


class Step:
    """One step of training on long sequences: it is taken or it is not."""

    def __init__(self, make, x, y):
        self._make, self._x, self._y = make, x, y
        self._before = make().flat_params.tobytes()

    def prepare(self):
        """Make a new network."""
        self._net, self._optimizer = self._make(), crnn.Adam(1e-4)

    def call(self):
        """Take the step."""
        self._net.train_step(self._x, self._y, self._optimizer)

    def check(self):
        """Raise unless no step was taken."""
        assert self._net.flat_params.tobytes() == self._before
        assert self._optimizer.steps == 0
        assert not self._optimizer.memory
        self._net.train_step(self._x[:, :50], self._y[:, :50], self._optimizer)
        twin = self._make()
        twin.train_step(self._x[:, :50], self._y[:, :50], crnn.Adam(1e-4))
        assert twin.flat_params.tobytes() == self._net.flat_params.tobytes()


class Other:
    """A call whose object is used again afterwards."""

    def __init__(self, call, again):
        self.call, self._again, self._expected = call, again, again()

    def check(self):
        """Raise if the other call's result has changed."""
        assert np.array_equal(self._again(), self._expected)


def backward():
    """A pass forward is made once; each call goes backward."""
    net = crnn.GRU(2, 32, 2, seed=0)
    x = values(2, 400_000, 2)
    tape, dy = net.forward(x), values(2, 400_000, 2)
    short = net.forward(x[:, :40])
    again = lambda: net.backward(short, dy[:, :40]).flat.copy()  # noqa: E731
    return Other(lambda: net.backward(tape, dy), again)


def loss():
    """The loss of three million steps."""
    net, x = crnn.RNN(1, 32, 1, seed=0), values(3_000_000, 1)
    return Other(lambda: net.loss(x, x), lambda: net.loss(x[:300], x[:300]))


def forecast():
    """A forecast of a million steps, one by one."""
    net, x = crnn.RNN(1, 16, 1, seed=0), values(100, 1)
    return Other(lambda: net.forecast(x, 1_000_000), lambda: net.forecast(x, 10))


def forecaster(call):
    """A forecaster that was fitted on a short series."""
    t = np.arange(240.0)
    y = np.sin(t / 6) + 0.01 * t + 0.1 * RNG.standard_normal(240)
    model = Forecaster(seed=0, epochs=3).fit(y)
    again = lambda: np.asarray(model.forecast(y, 5))  # noqa: E731
    return Other(lambda: call(model, y), again)


def text(call):
    """A text model that was fitted a little."""
    words = "the quick brown fox jumps over the lazy dog. " * 40
    model = TextModel(words, seed=0)
    model.fit(words, epochs=1)
    again = lambda: list(model.generate("the", 30, seed=1))  # noqa: E731
    return Other(lambda: call(model, words), again)


def fit_text(model, words):
    """Fit a copy for a long time."""
    copy.deepcopy(model).fit(words, epochs=100_000)


def sklearn(call):
    """A regressor that was fitted on a few sequences."""
    from crnn.sklearn import RNNRegressor

    x, y = values(20, 30, 3).astype(float), values(20).astype(float)
    model = RNNRegressor(max_iter=2, random_state=0).fit(x, y)
    again = lambda: np.asarray(model.predict(x))  # noqa: E731
    return Other(lambda: call(model), again)


def fit_sklearn(model):
    """Fit a copy for a long time."""
    x, y = values(200, 60, 3).astype(float), values(200).astype(float)
    copy.deepcopy(model).set_params(max_iter=100_000).fit(x, y)


def long_sequence():
    """Return the inputs of ten million steps."""
    return values(10_000_000, 1)


CALLS = {
    "predict, RNN, 1e7 steps": lambda: Prediction(crnn.RNN(1, 32, 1, seed=0), long_sequence()),
    "predict, LSTM, 64 x 20000 steps, 128 units": lambda: Prediction(
        crnn.LSTM(4, 128, 1, seed=0), values(64, 20_000, 4)
    ),
    "predict, GRU, 2 x 20000 steps, 512 units": lambda: Prediction(
        crnn.GRU(4, 512, 1, seed=0), values(2, 20_000, 4)
    ),
    "predict, bidirectional LSTM, 2 layers": lambda: Prediction(
        crnn.LSTM(4, 64, 1, num_layers=2, bidirectional=True, seed=0), values(8, 40_000, 4)
    ),
    "predict, NumPy kernels": lambda: Prediction(
        crnn.LSTM(1, 32, 1, seed=0, implementation="python"), values(60_000, 1)
    ),
    "forward, LSTM": lambda: Prediction(
        crnn.LSTM(4, 64, 2, seed=0), values(8, 60_000, 4), "forward"
    ),
    "backward, GRU": backward,
    "loss, RNN": loss,
    "stream.run, RNN, 1e7 steps": lambda: Run(crnn.RNN(1, 32, 1, seed=0), long_sequence()),
    "stream.run, GRU, 2 layers": lambda: Run(
        crnn.GRU(1, 32, 1, num_layers=2, seed=0), values(1_000_000, 1)
    ),
    "forecast, RNN": forecast,
    "train_step, LSTM, 8 x 20000 steps": lambda: Step(
        lambda: crnn.LSTM(3, 64, 2, seed=0), values(8, 20_000, 3), values(8, 20_000, 2)
    ),
    "train_step, RNN, 1e6 steps": lambda: Step(
        lambda: crnn.RNN(1, 32, 1, seed=0), values(1, 1_000_000, 1), values(1, 1_000_000, 1)
    ),
    "train_step, 2 layers": lambda: Step(
        lambda: crnn.RNN(3, 128, 2, num_layers=2, seed=0),
        values(8, 20_000, 3), values(8, 20_000, 2),
    ),
    "fit, batches of 100 us": lambda: training(
        lambda: crnn.GRU(2, 16, 1, seed=0), values(3000, 10, 2), values(3000, 10, 1), 16
    ),
    "fit, batches of 200 ms": lambda: training(
        lambda: crnn.LSTM(2, 64, 1, seed=0), values(32, 3000, 2), values(32, 3000, 1), 16
    ),
    "fit, 2 layers": lambda: training(
        lambda: crnn.LSTM(2, 16, 1, num_layers=2, seed=0),
        values(64, 20, 2), values(64, 20, 1), 16,
    ),
    "fit, NumPy kernels": lambda: training(
        lambda: crnn.GRU(2, 16, 1, seed=0, implementation="python"),
        values(64, 10, 2), values(64, 10, 1), 16,
    ),
    "Forecaster.fit": lambda: forecaster(
        lambda _, y: Forecaster(epochs=100_000).fit(np.tile(y, 10))
    ),
    "Forecaster.forecast": lambda: forecaster(lambda model, y: model.forecast(y, 1_000_000)),
    "TextModel.fit": lambda: text(fit_text),
    "TextModel.generate": lambda: text(lambda model, _: model.generate("the", 3_000_000)),
    "RNNRegressor.fit": lambda: sklearn(fit_sklearn),
    "RNNRegressor.predict": lambda: sklearn(
        lambda model: model.predict(values(1, 1_000_000, 3).astype(float))
    ),
}  # fmt: skip


def prove(name, count, seconds):
    """Interrupt a call so often; return whether all was right."""
    case = CALLS[name]()
    worst, answered = (0.0, 0.0), 0
    for number in range(count):
        if hasattr(case, "prepare"):
            case.prepare()
        taken = interrupted(case.call, seconds * (number + 0.5) / count)
        if taken is None:
            continue
        answered += 1
        worst = max(worst, taken)
        case.check()
    passed = answered > 0 and worst[0] <= LIMIT
    taken = getattr(case, "taken", None)
    after = f", after {min(taken)} to {max(taken)} steps" if taken else ""
    print(
        f"{'ok' if passed else 'FAILED':6} {name}: {answered} interrupts, the slowest answered in "
        f"{1000 * worst[0]:.0f} ms ({1000 * worst[1]:.0f} ms computed){after}", flush=True,
    )  # fmt: skip
    return passed


def prove_program(count):
    """Interrupt `crnn fit`: one line at most, the exit code of an interrupt, and no file."""
    passed, worst = True, 0.0
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder, "series.csv")
        t = np.arange(3000)
        table.write_text("y\n" + "\n".join(f"{v:.4f}" for v in np.sin(t / 6) + t / 1000) + "\n")
        for number in range(count):
            command = [sys.executable, "-P", "-m", "crnn", "fit", str(table), "--target", "y"]
            command += ["--epochs", "100000", "-o", "model.npz"]
            process = subprocess.Popen(
                command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
            )  # fmt: skip
            time.sleep(3 + number / count)
            assert process.poll() is None, process.stderr.read()
            sent = time.monotonic()
            process.send_signal(signal.SIGINT)
            _, stderr = process.communicate()
            worst = max(worst, time.monotonic() - sent)
            passed &= "Traceback" not in stderr and process.returncode in (1, 130)
            passed &= not Path(folder, "model.npz").exists()
    passed &= worst <= LIMIT
    print(
        f"{'ok' if passed else 'FAILED':6} crnn fit: {count} interrupts, the slowest left in "
        f"{1000 * worst:.0f} ms with exit code {process.returncode}", flush=True,
    )  # fmt: skip
    return passed


def main():
    """Prove it for each call."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=20, help="interrupts of each call")
    parser.add_argument("--seconds", type=float, default=1.0, help="over which they are spread")
    parser.add_argument("--only", default="", help="calls whose names contain this")
    arguments = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    passed = True
    for name in CALLS:
        if arguments.only in name:
            passed &= prove(name, arguments.count, arguments.seconds)
    if arguments.only in "crnn fit":
        passed &= prove_program(max(1, arguments.count // 4))
    sys.exit(not passed)


if __name__ == "__main__":
    main()
