# Types of the compiled kernels. `reference` has the same functions and documents them.

from collections.abc import Callable
from typing import Any, NoReturn, TypeAlias, TypeVar, overload

import numpy as np
import numpy.typing as npt

from crnn._typing import Array, BoolArray, FloatArray, IntArray
from crnn.kernels.constraints import Constraints

State: TypeAlias = Array | tuple[Array, Array]
_Out = TypeVar("_Out", bound=Array)

instruction_set: str
instruction_set_reason: str
c_api: object

def set_num_threads(n: int) -> None: ...
def get_num_threads() -> int: ...
def use_openmp(addresses: tuple[int, int, int] | None) -> None: ...
def layer_workspace_size(
    cell: str, T: int, B: int, I: int, H: int, dtype: npt.DTypeLike
) -> int: ...
def output_workspace_size(T: int, B: int, H: int, O: int, dtype: npt.DTypeLike) -> int: ...
def gradient_workspace_size(
    cell: str, T: int, B: int, I: int, H: int, O: int, dtype: npt.DTypeLike
) -> int: ...
def train_workspace_size(
    cell: str, T: int, B: int, I: int, H: int, O: int, dtype: npt.DTypeLike
) -> int: ...
def predict_workspace_size(
    cell: str, T: int, B: int, I: int, H: int, O: int, dtype: npt.DTypeLike
) -> int: ...
def stream_workspace_size(
    cell: str, B: int, I: int, H: int, O: int, dtype: npt.DTypeLike
) -> int: ...
def is_kernel_ready(array: object, like: Array, shape: tuple[int, ...]) -> bool: ...
def rnn_forward(
    cell: str,
    x: Array | None,
    W_xh: Array,
    W_hh: Array,
    b_h: Array,
    h: Array,
    gates: Array | None,
    lengths: IntArray | None,
    reverse: bool,
    workspace: Array,
) -> None: ...
def rnn_backward(
    cell: str,
    x: Array | None,
    h: Array,
    gates: Array | None,
    W_xh: Array,
    W_hh: Array,
    b_h: Array,
    dh: Array | None,
    da: Array,
    dstate: Array,
    dW_xh: Array,
    dW_hh: Array,
    db_h: Array,
    dx: Array | None,
    lengths: IntArray | None,
    reverse: bool,
    workspace: Array,
) -> None: ...
def output_forward(
    h: Array, W_hy: Array, b_y: Array, y: Array, lengths: IntArray | None, workspace: Array
) -> None: ...
def output_backward(
    h: Array,
    W_hy: Array,
    dy: Array,
    dW_hy: Array,
    db_y: Array,
    dh: Array,
    lengths: IntArray | None,
    workspace: Array,
) -> None: ...
def rnn_gradient(
    cell: str,
    x: Array,
    y: Array,
    theta: Array,
    dtheta: Array,
    hidden_size: int,
    output_size: int,
    loss: str,
    max_norm: float | None,
    max_value: float | None,
    workspace: Array,
) -> tuple[float, float]: ...
def rnn_train(
    cell: str,
    x: Array,
    y: Array,
    rows: IntArray,
    batch_size: int,
    theta: Array,
    hidden_size: int,
    output_size: int,
    loss: str,
    max_norm: float | None,
    max_value: float | None,
    optimizer: str,
    memory: dict[str, Array | None],
    settings: dict[str, float],
    constraints: Constraints | None,
    steps: IntArray,
    rates: FloatArray,
    losses: FloatArray,
    norms: FloatArray,
    workspace: Array,
) -> None: ...
def fleet_predict(
    cell: str,
    x: Array,
    starts: IntArray,
    lengths: IntArray,
    theta: Array,
    hidden_size: int,
    output_size: int,
    y: Array,
    y_starts: IntArray,
) -> None: ...
def fleet_gradient(
    cell: str,
    x: Array,
    y: Array,
    weights: FloatArray | None,
    starts: IntArray,
    lengths: IntArray,
    theta: Array,
    dtheta: Array | None,
    hidden_size: int,
    output_size: int,
    loss: str,
    delta: float,
    losses: FloatArray,
) -> None: ...
def fleet_train(
    cell: str,
    x: Array,
    y: Array,
    weights: FloatArray | None,
    starts: IntArray,
    lengths: IntArray,
    theta: Array,
    hidden_size: int,
    output_size: int,
    loss: str,
    delta: float,
    max_norm: float | None,
    max_value: float | None,
    optimizer: str,
    memory: dict[str, Array | None],
    settings: dict[str, float],
    constraints: Constraints | None,
    steps: IntArray,
    rates: FloatArray,
    weight_decay: FloatArray,
    l1: FloatArray | None,
    losses: FloatArray,
    norms: FloatArray,
    taken: BoolArray,
) -> None: ...
def rnn_predict(
    cell: str,
    x: Array,
    h0: Array | None,
    theta: Array,
    hidden_size: int,
    output_size: int,
    y: Array | None,
    h_n: Array | None,
    lengths: IntArray | None,
    reverse: bool,
    workspace: Array,
) -> None: ...
def stream_parameters(
    cell: str, theta: Array, input_size: int, hidden_size: int, output_size: int, batch: int
) -> Array: ...
def stream_step(
    cell: str,
    parameters: Array,
    x: Array,
    h: Array,
    h_next: Array,
    y: Array,
    output_size: int,
    workspace: Array,
) -> None: ...
def mse(y_hat: Array, y: Array, weights: Array | None, dy: Array | None) -> float: ...
def sse(y_hat: Array, y: Array, weights: Array | None, dy: Array | None) -> float: ...
def cross_entropy(y_hat: Array, y: Array, weights: Array | None, dy: Array | None) -> float: ...
def binary_cross_entropy(
    y_hat: Array, y: Array, weights: Array | None, dy: Array | None
) -> float: ...
def huber(
    y_hat: Array, y: Array, weights: Array | None, delta: float, dy: Array | None
) -> float: ...
def all_finite(values: Array) -> bool: ...
def global_norm(values: Array) -> float: ...
def clip_norm(values: Array, max_norm: float) -> float: ...
def clip_value(values: Array, limit: float) -> None: ...
def constrain(values: Array, constraints: Constraints | None) -> None: ...
def sgd_step(
    theta: Array,
    dtheta: Array,
    velocity: Array | None,
    lr: float,
    momentum: float,
    nesterov: bool,
    weight_decay: float,
    steps: IntArray | None,
    constraints: Constraints | None,
) -> bool: ...
def rmsprop_step(
    theta: Array,
    dtheta: Array,
    square: Array,
    velocity: Array | None,
    lr: float,
    alpha: float,
    eps: float,
    momentum: float,
    weight_decay: float,
    steps: IntArray | None,
    constraints: Constraints | None,
) -> bool: ...
def adam_step(
    theta: Array,
    dtheta: Array,
    mean: Array,
    square: Array,
    step: int,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    decoupled: bool,
    steps: IntArray | None,
    constraints: Constraints | None,
) -> bool: ...

class Stream:
    def __init__(
        self,
        cell: str,
        parameters: list[Array],
        input_size: int,
        hidden_size: int,
        output_size: int,
        batch_size: int | None,
        convert: Callable[..., Any] | None,
        always_convert: bool = False,
        first_states: Array | None = None,
        block_steps: int = 0,
    ) -> None: ...
    @property
    def input_size(self) -> int: ...
    @property
    def hidden_size(self) -> int: ...
    @property
    def output_size(self) -> int: ...
    @property
    def batch_size(self) -> int | None: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    # For an LSTM the state is a pair. What is assigned goes through `convert`.
    @property
    def state(self) -> State: ...
    @state.setter
    def state(self, value: npt.ArrayLike | tuple[npt.ArrayLike, npt.ArrayLike]) -> None: ...
    @overload
    def step(self, x: npt.ArrayLike, out: None = None) -> Array: ...
    @overload
    def step(self, x: npt.ArrayLike, out: _Out) -> _Out: ...
    def run(self, x: npt.ArrayLike, lengths: npt.ArrayLike | None = None) -> Array: ...
    def take_parameters(self, theta: Array) -> None: ...
    def reset(self, which: npt.ArrayLike | None = None) -> None: ...
    def copy(self) -> Stream: ...
    def __copy__(self) -> Stream: ...
    def __deepcopy__(self, memo: object) -> Stream: ...
    def __reduce__(self) -> NoReturn: ...

class Trainer:
    def __init__(
        self,
        cell: str,
        theta: Array,
        T: int,
        B: int,
        input_size: int,
        hidden_size: int,
        output_size: int,
        loss: str,
        max_norm: float | None,
        max_value: float | None,
        optimizer: str,
        memory: dict[str, Array | None],
        settings: dict[str, float],
        constraints: Constraints | None,
        steps: IntArray,
        lr: float,
    ) -> None: ...
    @property
    def steps(self) -> int: ...
    @property
    def lr(self) -> float: ...
    @lr.setter
    def lr(self, value: float) -> None: ...
    def train(self, x: Array, y: Array) -> tuple[float, float, bool]: ...
    def predict(self, x: Array, y: Array) -> None: ...
    def copied(self) -> tuple[Array, dict[str, Array | None], int]: ...

class Learner:
    def __init__(
        self,
        cell: str,
        theta: Array,
        batch_size: int | None,
        input_size: int,
        hidden_size: int,
        output_size: int,
        loss: str,
        max_norm: float | None,
        max_value: float | None,
        optimizer: str,
        memory: dict[str, Array | None],
        settings: dict[str, float],
        constraints: Constraints | None,
        steps: IntArray,
        lr: float,
        delta: float = 1.0,
    ) -> None: ...
    @property
    def steps(self) -> int: ...
    @property
    def lr(self) -> float: ...
    @lr.setter
    def lr(self, value: float) -> None: ...
    @property
    def gradient(self) -> Array: ...
    def fits(self, x: object, y: object, out: object) -> bool: ...
    def step(self, x: Array, y: Array | None, out: Array) -> tuple[float, float, bool]: ...
    def predict(self, x: Array, out: Array) -> None: ...
    def reset(self, which: BoolArray | None) -> None: ...
    def copied(self) -> tuple[Array, Array]: ...
    def restore(self, states: Array, sensitivities: Array) -> None: ...
