"""The kernels in NumPy: the implementation where nothing is compiled, and the one to read.

Functions on arrays, of one dtype a call (float32 or float64), that keep no state:

`steps`
    One step of each cell, and its gradient. The recurrence is here.
`layers`
    A recurrent layer and the output layer over all steps, forward and backward through time.
`passes`
    A network of one layer in one call: gradient, prediction, a stream's step.
`losses`
    Losses and their gradients.
`updates`
    Norms, clipping, and the optimizers' steps.
`queries`
    Threads, workspace sizes, arrays that need no conversion.

The compiled module `native` has the same functions with the same signatures and errors.
`contracts` checks the arguments of both. Numbers that leave the range of the dtype become infinite
without a warning; training looks at the loss and the gradient's norm.
"""

from crnn.kernels.reference.layers import output_backward, output_forward, rnn_backward, rnn_forward
from crnn.kernels.reference.losses import binary_cross_entropy, cross_entropy, huber, mse, sse
from crnn.kernels.reference.passes import (
    rnn_gradient,
    rnn_predict,
    stream_parameters,
    stream_step,
)
from crnn.kernels.reference.queries import (
    get_num_threads,
    gradient_workspace_size,
    instruction_set,
    instruction_set_reason,
    is_kernel_ready,
    layer_workspace_size,
    output_workspace_size,
    predict_workspace_size,
    set_num_threads,
    stream_workspace_size,
)
from crnn.kernels.reference.updates import (
    adam_step,
    all_finite,
    clip_norm,
    clip_value,
    global_norm,
    rmsprop_step,
    sgd_step,
)

__all__ = [
    "adam_step",
    "all_finite",
    "binary_cross_entropy",
    "clip_norm",
    "clip_value",
    "cross_entropy",
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
    "set_num_threads",
    "sgd_step",
    "sse",
    "stream_parameters",
    "stream_step",
    "stream_workspace_size",
]
