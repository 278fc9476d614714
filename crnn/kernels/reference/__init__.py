"""The kernels in NumPy: the implementation where nothing is compiled, and the one to read.

Functions on arrays, of one dtype a call (float32 or float64), that keep no state:

`steps`
    One step of each cell, and its gradient. The recurrence is here.
`layers`
    A recurrent layer and the output layer over all steps, forward and backward through time.
`passes`
    A network of one layer in one call: gradient, prediction, a stream's step.
`training`
    Such a network's training in one call.
`trainer`
    Such a network's training on batches that come one by one.
`learner`
    A network that learns from each step as it comes.
`fleets`
    Many networks of one architecture.
`losses`
    Losses and their gradients.
`updates`
    Norms, clipping, the optimizers' steps, and constraints.
`queries`
    Threads, workspace sizes, arrays that need no conversion.

The compiled module `native` has the same functions with the same signatures and errors.
`contracts` checks the arguments of both. Numbers that leave the range of the dtype become infinite
without a warning, whatever `np.seterr` was set to; training looks at the loss and the gradient's
norm.
"""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import numpy as np

from crnn.kernels.reference import fleets, layers, losses, passes, queries, training, updates
from crnn.kernels.reference.learner import Learner
from crnn.kernels.reference.queries import (
    get_num_threads,
    gradient_workspace_size,
    instruction_set,
    instruction_set_reason,
    layer_workspace_size,
    output_workspace_size,
    predict_workspace_size,
    set_num_threads,
    stream_workspace_size,
    train_workspace_size,
    use_openmp,
)
from crnn.kernels.reference.trainer import Trainer

# Quiet themselves, except for their last line
adam_step, rmsprop_step, sgd_step = updates.adam_step, updates.rmsprop_step, updates.sgd_step

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


def _quiet(kernel: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """Return a kernel on which `np.seterr` has no effect, and which does not change it.

    Underflow and overflow are no errors in a kernel, and on some processors, such as AArch64,
    NumPy's matmul sets floating-point flags although its results are right.
    """

    @functools.wraps(kernel)
    def call(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result:
        with np.errstate(all="ignore"):
            return kernel(*args, **kwargs)

    return call


all_finite = _quiet(updates.all_finite)
binary_cross_entropy = _quiet(losses.binary_cross_entropy)
clip_norm = _quiet(updates.clip_norm)
clip_value = _quiet(updates.clip_value)
constrain = _quiet(updates.constrain)
cross_entropy = _quiet(losses.cross_entropy)
fleet_gradient = _quiet(fleets.fleet_gradient)
fleet_predict = _quiet(fleets.fleet_predict)
fleet_train = _quiet(fleets.fleet_train)
global_norm = _quiet(updates.global_norm)
huber = _quiet(losses.huber)
is_kernel_ready = _quiet(queries.is_kernel_ready)
mse = _quiet(losses.mse)
output_backward = _quiet(layers.output_backward)
output_forward = _quiet(layers.output_forward)
rnn_backward = _quiet(layers.rnn_backward)
rnn_forward = _quiet(layers.rnn_forward)
rnn_gradient = _quiet(passes.rnn_gradient)
rnn_predict = _quiet(passes.rnn_predict)
rnn_train = _quiet(training.rnn_train)
sse = _quiet(losses.sse)
stream_parameters = _quiet(passes.stream_parameters)
stream_step = _quiet(passes.stream_step)

__all__ = [
    "Learner",
    "Trainer",
    "adam_step",
    "all_finite",
    "binary_cross_entropy",
    "clip_norm",
    "clip_value",
    "constrain",
    "cross_entropy",
    "fleet_gradient",
    "fleet_predict",
    "fleet_train",
    "get_num_threads",
    "global_norm",
    "gradient_workspace_size",
    "huber",
    "instruction_set",
    "instruction_set_reason",
    "is_kernel_ready",
    "layer_workspace_size",
    "mse",
    "output_backward",
    "output_forward",
    "output_workspace_size",
    "predict_workspace_size",
    "rmsprop_step",
    "rnn_backward",
    "rnn_forward",
    "rnn_gradient",
    "rnn_predict",
    "rnn_train",
    "set_num_threads",
    "sgd_step",
    "sse",
    "stream_parameters",
    "stream_step",
    "stream_workspace_size",
    "train_workspace_size",
    "use_openmp",
]
