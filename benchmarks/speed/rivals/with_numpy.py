"""crnn's NumPy kernels."""

import functools

from benchmarks.speed.rivals import with_crnn

train_step = functools.partial(with_crnn.train_step, implementation="python")
inference = functools.partial(with_crnn.inference, implementation="python")
streaming_step = functools.partial(with_crnn.streaming_step, implementation="python")
