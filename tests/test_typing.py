"""What a type checker tells the author of a script: mypy's view of the public calls."""

import re
import subprocess
import sys

import pytest

pytest.importorskip("mypy")
pytestmark = pytest.mark.xdist_group("mypy")

# Each reveal_type with the type that mypy has to say.
SCRIPT = """
import numpy as np
import numpy.typing as npt

import crnn

x: npt.NDArray[np.float32] = np.zeros((4, 7, 3), np.float32)
y: npt.NDArray[np.float32] = np.zeros((4, 7, 2), np.float32)
sequences: list[npt.NDArray[np.float32]] = [x[0], x[1, :5]]
flag: bool = bool(x.any())

net = crnn.RNN(3, 8, 2, seed=0)
lstm = crnn.LSTM(input_size=3, hidden_size=8, output_size=2, categorical=False)
reveal_type(net.predict(x))  # ARRAY
reveal_type(net.predict(x, return_state=False))  # ARRAY
reveal_type(net.predict(x, return_state=True))  # tuple[ARRAY, ARRAY]
reveal_type(lstm.predict(x, return_state=True))  # tuple[ARRAY, tuple[ARRAY, ARRAY]]
reveal_type(net.predict(sequences))  # ARRAY | list[ARRAY]
reveal_type(net.predict([[0.0, 1.0, 2.0]]))  # ARRAY | list[ARRAY]
reveal_type(net.predict(sequences, return_state=True))  # tuple[ARRAY | list[ARRAY], ARRAY]
reveal_type(net.forecast(x, steps=3))  # ARRAY

tape = net.forward(x)
reveal_type(tape.y)  # ARRAY
reveal_type(tape.h_n)  # ARRAY
reveal_type(lstm.forward(x).h_n)  # tuple[ARRAY, ARRAY]
gradients = net.backward(tape, y)
reveal_type(gradients)  # crnn.Gradients[ARRAY]
reveal_type(gradients.flat)  # ARRAY
reveal_type(gradients["W_hh"])  # ARRAY
reveal_type(gradients.x)  # ARRAY | None

stream = net.stream()
reveal_type(stream.step([0.0, 1.0, 2.0]))  # ARRAY
reveal_type(stream.run(x[0]))  # ARRAY
reveal_type(stream.state)  # ARRAY
reveal_type(lstm.stream(2).state)  # tuple[ARRAY, ARRAY]

learner = lstm.learner(crnn.SGD(0.1), loss="huber", batch_size=4)
reveal_type(learner.step(x[:, 0], y[:, 0]))  # ARRAY
reveal_type(learner.last_loss)  # float
reveal_type(learner.state)  # dict[str, ARRAY]
learner.state = {"h": [[0.0]], "c": [[0.0]], "sensitivities": [[[0.0]]]}
reveal_type(learner.stream().state)  # tuple[ARRAY, ARRAY]
reveal_type(learner.net.predict(x, return_state=True))  # tuple[ARRAY, tuple[ARRAY, ARRAY]]

reveal_type(net.train_step(x, y, crnn.SGD(0.1)))  # float
reveal_type(net.loss(x, y, "mse"))  # float
history = net.fit(x, y, epochs=2, optimizer=crnn.Adam(0.01), loss=crnn.losses.Huber(0.5))
reveal_type(history)  # crnn.History
reveal_type(history.val_loss)  # list[float]
reveal_type(history.best_epoch)  # int | None
reveal_type(history.metrics)  # dict[str, list[float]]

reveal_type(crnn.load("net.npz"))  # crnn.RNN | crnn.GRU | crnn.LSTM | crnn.Sequential | crnn.Fleet
chain = crnn.Sequential([net, crnn.LastStep(), crnn.Dense(np.ones((1, 2)))])
reveal_type(chain.predict(x))  # ARRAY
reveal_type(chain.predict(x, return_state=True))  # tuple[ARRAY, list[Any]]
reveal_type(chain.stream().step(x[0, 0]))  # ARRAY
reveal_type(crnn.from_state_dict({"weight_hh_l0": x[0]}))  # crnn.RNN | crnn.GRU | crnn.LSTM
reveal_type(crnn.from_architecture(net.architecture))  # crnn.RNN | crnn.GRU | crnn.LSTM
reveal_type(net.architecture.cell)  # str
reveal_type(net.architecture.output_size)  # int | None
reveal_type(net.params["W_xh"])  # ARRAY
reveal_type(net.flat_params)  # ARRAY
reveal_type(net.W_hh)  # ARRAY
reveal_type(net.categorical)  # bool
reveal_type(net.astype("float64"))  # crnn.RNN
"""

MISTAKES = """
import numpy as np

import crnn

x = np.zeros((4, 7, 3))
crnn.RNN("3", 8)  # arg-type
crnn.RNN(3, 8, learning_rate=0.1)  # call-arg
crnn.RNN(3, 8).fit(x, x)  # call-arg
crnn.RNN(3, 8).predict(None)  # call-overload
crnn.RNN(3, 8).train_step(x, x, optimizer="sgd")  # arg-type
crnn.load(3)  # arg-type
"""


@pytest.fixture(scope="module")
def messages(tmp_path_factory):
    """What mypy --strict says of both scripts: by name, (line number, message)."""
    folder = tmp_path_factory.mktemp("typing")
    (folder / "script.py").write_text(SCRIPT)
    (folder / "mistakes.py").write_text(MISTAKES)
    command = [sys.executable, "-P", "-m", "mypy", "--strict", "--no-error-summary"]
    command += ["--no-incremental", "--config-file=", "script.py", "mistakes.py"]
    process = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert not process.stderr, process.stderr
    found = {"script": [], "mistakes": []}
    for line in process.stdout.splitlines():
        name, number, message = line.split(":", 2)
        found[name.removesuffix(".py")].append((int(number), message.strip()))
    return found


def shown(message):
    """A type in short words: without modules, and arrays by one name."""
    found = re.search(r'Revealed type is "(.*)"', message)
    assert found, message
    text = re.sub(r"\b(?:builtins|crnn(?:\.\w+)+)\.(\w+)", r"\1", found[1])
    text = re.sub(
        r"numpy\.ndarray\[(?:tuple\[Any, \.\.\.\]|Any), numpy\.dtype\[Any\]\]", "ARRAY", text
    )
    return re.sub(
        r"\b(Tape|Gradients|History|RNN|GRU|LSTM|Sequential|Fleet|Architecture)\b", r"crnn.\1", text
    )


def expected(code):
    lines = enumerate(code.splitlines(), 1)
    return {number: line.split("  # ")[1] for number, line in lines if "  # " in line}


@pytest.mark.slow
def test_types_of_a_script(messages):
    found = {number: shown(message) for number, message in messages["script"]}
    assert found == expected(SCRIPT)


@pytest.mark.slow
def test_mistakes_of_a_script(messages):
    errors = [line for line in messages["mistakes"] if line[1].startswith("error: ")]
    found = {number: message.rsplit("[", 1)[1].rstrip("]") for number, message in errors}
    assert found == expected(MISTAKES)
