"""Hashes of what small training runs compute, to show that a refactoring changes no bits.

    python bits.py > before.txt                     with the crnn that is installed
    python bits.py > after.txt                      after the change, installed too
    python bits.py --compare before.txt after.txt

Each line holds a run's name, the implementation, the instruction set, and the first 16 digits of
three SHA-256: of the parameters, of the outputs (with states and gradients), and of the reported
losses. Both files have to come from the same machine, NumPy and Python.

Only the public API is used. Every run draws its own data, seeded by its name, so that runs can be
added or removed without changing the others.
"""

import argparse
import hashlib
import inspect
import os
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

import numpy as np

import crnn

BUILDS = [("native", "baseline"), ("native", "avx2"), ("native", "avx512"), ("python", "numpy")]
HASHES = ("params", "outputs", "losses")
DIGITS = 16
RUNS = {}


def digest(arrays):
    """Return the start of the SHA-256 of arrays: their dtypes, shapes and bytes."""
    found = hashlib.sha256()
    for array in arrays:
        array = np.ascontiguousarray(array)
        found.update(f"{array.dtype.str} {array.shape};".encode())
        found.update(array.tobytes())
    return found.hexdigest()[:DIGITS]


class Run:
    """The data and networks of one run, and what it has computed so far."""

    def __init__(self, name, implementation):
        self.rng = np.random.default_rng(zlib.crc32(name.encode()))
        self.implementation = implementation
        self.networks = []
        self.outputs = []
        self.losses = []

    def network(self, family, *sizes, categorical=False, **settings):
        """Return a new network whose parameters, biases included, are all different."""
        cls = getattr(crnn, family)
        # Older versions tell categories from features by the dtype of x alone.
        if categorical and "categorical" in inspect.signature(cls).parameters:
            settings["categorical"] = True
        seed = int(self.rng.integers(1 << 31))
        net = cls(*sizes, seed=seed, implementation=self.implementation, **settings)
        net.flat_params[...] += 0.1 * self.rng.standard_normal(net.flat_params.size)
        self.networks.append(net)
        return net

    def values(self, *shape):
        """Return normally distributed numbers."""
        return self.rng.standard_normal(shape)

    def whole(self, below, *shape):
        """Return whole numbers from 0 on."""
        return self.rng.integers(below, size=shape)

    def ragged(self, lengths, *shape):
        """Return a list of sequences of these lengths."""
        return [self.values(n, *shape) for n in lengths]

    def record(self, *results):
        """Note outputs: arrays, or tuples and lists of them."""
        for result in results:
            if isinstance(result, (tuple, list)):
                self.record(*result)
            else:
                self.outputs.append(np.asarray(result))

    def fit(self, net, x, y, **arguments):
        """Train a network and note what its history reports."""
        history = net.fit(x, y, progress=False, **arguments)
        columns = [history.loss, history.val_loss, history.grad_norm, history.lr]
        self.losses += [np.array(column) for column in columns]
        self.losses += [np.array(history.metrics[name]) for name in sorted(history.metrics)]
        return history

    def steps(self, net, x, y, optimizer, count=4, **arguments):
        """Take some training steps and note their losses."""
        self.losses.append([net.train_step(x, y, optimizer, **arguments) for _ in range(count)])

    def backward(self, net, tape, dh_n=None):
        """Note the outputs, states and gradients of a tape."""
        grads = net.backward(tape, self.values(*tape.y.shape), dh_n)
        self.record(tape.y, tape.h_n, grads.flat, grads.h0)
        if grads.x is not None:
            self.record(grads.x)

    def line(self):
        """Return the three hashes."""
        hashes = (digest(net.flat_params for net in self.networks), digest(self.outputs))
        return " ".join((*hashes, digest(self.losses)))


def run(function):
    """Register a run under the function's name."""
    RUNS[function.__name__] = function
    return function


# One layer, every step wanted: the fused training step.


@run
def tanh_sgd_one_sequence(r):
    net = r.network("RNN", 3, 11, 2)
    x, y = r.values(1, 37, 3), r.values(1, 37, 2)
    r.steps(net, x, y, crnn.SGD(0.05), clip_norm=0.5)
    r.record(net.predict(x), net.loss(x, y))


@run
def tanh_momentum_float64_clip_value(r):
    net = r.network("RNN", 5, 13, 4, dtype="float64", init="uniform")
    x, y = r.values(9, 17, 5), r.values(9, 17, 4)
    optimizer = crnn.SGD(0.02, momentum=0.9, weight_decay=0.01)
    r.fit(net, x, y, epochs=3, batch_size=4, optimizer=optimizer, clip_value=0.01)
    r.record(net.predict(x))


@run
def relu_nesterov_sse(r):
    net = r.network("RNN", 6, 9, 3, nonlinearity="relu")
    x, y = r.values(7, 12, 6), r.values(7, 12, 3)
    optimizer = crnn.SGD(0.001, momentum=0.8, nesterov=True)
    r.fit(net, x, y, epochs=3, batch_size=3, optimizer=optimizer, loss="sse", clip_norm=2.0)
    r.record(net.predict(x, return_state=True))


@run
def relu_one_sequence_of_many_units(r):
    net = r.network("RNN", 10, 90, 6, nonlinearity="relu", dtype="float64")
    x, y = r.values(1, 29, 10), r.values(1, 29, 6)
    r.steps(net, x, y, crnn.RMSprop(0.001))
    r.record(net.predict(x[0]), net.predict(x[0], h0=r.values(90), return_state=True))


@run
def tanh_without_output_layer(r):
    net = r.network("RNN", 4, 10)
    x, y = r.values(6, 15, 4), r.values(6, 15, 10)
    r.fit(net, x, y, epochs=3, batch_size=5, optimizer=crnn.RMSprop(0.003, momentum=0.5))
    r.record(net.predict(x))


@run
def tanh_long_in_chunks(r):
    net = r.network("RNN", 2, 12, 1)
    x, y = r.values(3, 2500, 2), r.values(3, 2500, 1)
    r.steps(net, x, y, crnn.SGD(0.1), count=2)
    r.record(net.predict(x))


@run
def tanh_one_long_sequence(r):
    net = r.network("RNN", 3, 60, 2)
    x, y = r.values(1, 2100, 3), r.values(1, 2100, 2)
    r.steps(net, x, y, crnn.SGD(0.1), count=2)
    r.record(net.predict(x, return_state=True))


@run
def gru_adam_cross_entropy(r):
    net = r.network("GRU", 7, 14, 5)
    x, y = r.values(8, 16, 7), r.whole(5, 8, 16)
    r.fit(net, x, y, epochs=3, batch_size=3, optimizer=crnn.Adam(0.01), loss="cross_entropy")
    r.record(net.predict(x, return_state=True))


@run
def gru_one_sequence_float64(r):
    net = r.network("GRU", 3, 19, 2, dtype="float64")
    x, y = r.values(1, 23, 3), r.values(1, 23, 2)
    r.steps(net, x, y, crnn.Adam(0.01, weight_decay=0.1), clip_norm=0.3)
    r.record(net.predict(x, r.values(1, 19), return_state=True))


@run
def gru_long_in_chunks(r):
    net = r.network("GRU", 2, 11)
    x, y = r.values(2, 1300, 2), r.values(2, 1300, 11)
    r.steps(net, x, y, crnn.SGD(0.1), count=2)
    r.record(net.predict(x))


@run
def gru_reset_before_rmsprop(r):
    net = r.network("GRU", 4, 15, 3, reset_after=False)
    x, y = r.values(5, 18, 4), r.values(5, 18, 3)
    r.fit(net, x, y, epochs=3, batch_size=2, optimizer=crnn.RMSprop(0.004, alpha=0.9))
    r.record(net.predict(x, return_state=True))


@run
def gru_reset_before_one_sequence(r):
    net = r.network("GRU", 5, 21, 2, reset_after=False, dtype="float64")
    x, y = r.values(1, 14, 5), r.values(1, 14, 2)
    r.steps(net, x, y, crnn.SGD(0.05, momentum=0.5))
    r.record(net.predict(x))


@run
def lstm_adamw_schedule(r):
    net = r.network("LSTM", 6, 13, 4, forget_bias=0.7)
    x, y = r.values(10, 15, 6), r.values(10, 15, 4)
    rate = crnn.schedules.warmup(crnn.schedules.cosine(0.02, steps=9, final=0.001), steps=3)
    r.fit(net, x, y, epochs=4, batch_size=4, optimizer=crnn.AdamW(rate, weight_decay=0.1))
    r.record(net.predict(x, return_state=True))


@run
def lstm_one_sequence(r):
    net = r.network("LSTM", 4, 18, 3)
    x, y = r.values(1, 31, 4), r.whole(3, 1, 31)
    optimizer = crnn.Adam(crnn.schedules.exponential(0.02, factor=0.9))
    r.steps(net, x, y, optimizer, loss="cross_entropy")
    r.record(net.predict(x[0], (r.values(18), r.values(18)), return_state=True))


@run
def lstm_long_in_chunks(r):
    net = r.network("LSTM", 3, 9, 2, dtype="float64")
    x, y = r.values(3, 900, 3), r.values(3, 900, 2)
    r.steps(net, x, y, crnn.SGD(crnn.schedules.steps(0.1, factor=0.5, every=1)), count=2)
    r.record(net.predict(x))


@run
def lstm_one_long_sequence(r):
    net = r.network("LSTM", 2, 20, 3)
    x, y = r.values(1, 1700, 2), r.values(1, 1700, 3)
    r.steps(net, x, y, crnn.SGD(0.1), count=2)
    r.record(net.predict(x, return_state=True))


# Large enough for several threads.


@run
def tanh_threads(r):
    net = r.network("RNN", 33, 129, 17)
    x, y = r.values(23, 21, 33), r.values(23, 21, 17)
    r.fit(net, x, y, epochs=2, batch_size=16, optimizer=crnn.SGD(0.05, momentum=0.9))
    r.record(net.predict(x, return_state=True))


@run
def relu_threads(r):
    net = r.network("RNN", 20, 101, 30, nonlinearity="relu", dtype="float64")
    x, y = r.values(15, 27, 20), r.whole(30, 15, 27)
    r.steps(net, x, y, crnn.SGD(0.01), loss="cross_entropy", clip_norm=1.0)
    r.record(net.predict(x))


@run
def gru_threads(r):
    net = r.network("GRU", 25, 83, 11)
    x, y = r.values(19, 22, 25), r.values(19, 22, 11)
    r.steps(net, x, y, crnn.Adam(0.003), loss="sse")
    r.record(net.predict(x))


@run
def gru_reset_before_threads(r):
    net = r.network("GRU", 18, 71, 10, reset_after=False)
    x, y = r.values(17, 20, 18), r.values(17, 20, 10)
    r.steps(net, x, y, crnn.RMSprop(0.003))
    r.record(net.predict(x))


@run
def lstm_threads(r):
    net = r.network("LSTM", 31, 77, 13)
    x, y = r.values(21, 24, 31), r.whole(13, 21, 24)
    r.fit(net, x, y, epochs=2, batch_size=12, optimizer=crnn.AdamW(0.003), loss="cross_entropy")
    r.record(net.predict(x, return_state=True))


@run
def lstm_layers_threads(r):
    net = r.network("LSTM", 14, 66, 9, num_layers=2, bidirectional=True, dropout=0.2)
    x, y = r.values(13, 16, 14), r.values(13, 16, 9)
    lengths = 16 - r.whole(10, 13)
    r.steps(net, x, y, crnn.Adam(0.003), lengths=lengths)
    r.record(net.predict(x, lengths=lengths, return_state=True))


# Several layers and directions, dropout, trained first states, one output per sequence.


@run
def tanh_two_layers(r):
    net = r.network("RNN", 4, 11, 3, num_layers=2)
    x, y = r.values(7, 13, 4), r.values(7, 13, 3)
    r.fit(net, x, y, epochs=3, batch_size=3, optimizer=crnn.SGD(0.02, momentum=0.9))
    r.record(net.predict(x, return_state=True), net.predict(x[0]))


@run
def gru_three_layers_dropout(r):
    net = r.network("GRU", 5, 8, 2, num_layers=3, dropout=0.3)
    x, y = r.values(6, 14, 5), r.values(6, 14, 2)
    r.fit(net, x, y, epochs=3, batch_size=4, optimizer=crnn.Adam(0.01), loss="huber")
    r.record(net.predict(x, return_state=True))


@run
def lstm_bidirectional(r):
    net = r.network("LSTM", 3, 9, 4, bidirectional=True, dtype="float64")
    x, y = r.values(5, 12, 3), r.values(5, 12, 4)
    r.fit(net, x, y, epochs=3, batch_size=2, optimizer=crnn.SGD(0.05), clip_norm=0.2)
    r.record(net.predict(x, return_state=True))


@run
def relu_bidirectional_lengths(r):
    net = r.network("RNN", 5, 10, 3, num_layers=2, bidirectional=True, nonlinearity="relu")
    x, y, lengths = r.values(8, 11, 5), r.values(8, 11, 3), [11, 3, 7, 1, 11, 5, 9, 2]
    optimizer = crnn.RMSprop(0.002)
    r.fit(net, x, y, epochs=3, batch_size=3, optimizer=optimizer, lengths=lengths)
    r.record(net.predict(x, lengths=lengths, return_state=True))


@run
def tanh_last_output_classes(r):
    net = r.network("RNN", 4, 12, 5, return_sequences=False)
    x, y = r.values(9, 10, 4), r.whole(5, 9)
    arguments = {"loss": "cross_entropy", "metrics": ["accuracy"], "validation_fraction": 0.25}
    r.fit(net, x, y, epochs=4, batch_size=3, optimizer=crnn.Adam(0.01), **arguments)
    r.record(net.predict(x))


@run
def lstm_last_output_bidirectional_h0(r):
    settings = {"bidirectional": True, "trainable_h0": True, "return_sequences": False}
    net = r.network("LSTM", 3, 7, 2, num_layers=2, **settings)
    x, y, lengths = r.values(7, 9, 3), r.values(7, 2), [9, 4, 6, 1, 8, 2, 9]
    r.fit(net, x, y, epochs=3, batch_size=3, optimizer=crnn.Adam(0.01), lengths=lengths)
    r.record(net.predict(x, lengths=lengths, return_state=True))


@run
def gru_trainable_h0(r):
    net = r.network("GRU", 4, 9, 3, trainable_h0=True)
    x, y = r.values(5, 11, 4), r.values(5, 11, 3)
    r.fit(net, x, y, epochs=3, batch_size=2, optimizer=crnn.SGD(0.05, momentum=0.5))
    r.record(net.predict(x, return_state=True), net.predict(x, h0=r.values(5, 9)))


# Ragged sequences, masks, categories, losses.


@run
def gru_ragged_masks(r):
    net = r.network("GRU", 3, 10, 2)
    lengths = [5, 12, 8, 3, 12, 1, 9]
    x, y = r.ragged(lengths, 3), r.ragged(lengths, 2)
    mask = [np.abs(weights) for weights in r.ragged(lengths)]
    r.fit(net, x, y, epochs=3, batch_size=3, optimizer=crnn.Adam(0.01), mask=mask)
    r.record(net.predict(x, return_state=True))


@run
def lstm_ragged_last_output(r):
    net = r.network("LSTM", 4, 8, 3, return_sequences=False, num_layers=2)
    x, y = r.ragged([7, 2, 10, 10, 4, 6], 4), r.whole(3, 6)
    arguments = {"loss": "cross_entropy", "mask": [1, 0.5, 2, 0, 1, 3]}
    r.fit(net, x, y, epochs=3, batch_size=4, optimizer=crnn.SGD(0.1, momentum=0.9), **arguments)
    r.record(net.predict(x))


@run
def tanh_masked_validation(r):
    net = r.network("RNN", 2, 9, 3)
    x, y = r.values(12, 10, 2), r.values(12, 10, 3)
    mask = r.whole(3, 12, 10)
    arguments = {"validation_fraction": 0.3, "patience": 2, "metrics": ["mae"]}
    r.fit(net, x, y, epochs=6, batch_size=4, mask=mask, **arguments)
    r.record(net.predict(x), net.loss(x, y, mask=mask))


@run
def tanh_patience_that_does_not_run_out(r):
    net = r.network("RNN", 2, 7, 1)
    x, y = r.values(6, 8, 2), r.values(6, 8, 1)
    # The rate jumps after two epochs, so the last epochs are worse than the best one.
    optimizer = crnn.SGD(crnn.schedules.steps(0.02, factor=60, every=2))
    history = r.fit(net, x, y, epochs=5, patience=4, optimizer=optimizer, clip_norm=1.0)
    r.losses.append([history.best_epoch])
    r.record(net.predict(x))


@run
def gru_loss_of_many_masked_sequences(r):
    net = r.network("GRU", 2, 6, 1)
    x, y, mask = r.values(300, 5, 2), r.values(300, 5, 1), np.abs(r.values(300, 5))
    mask[256:] *= 9
    r.losses.append([net.loss(x, y, mask=mask), net.loss(x, y, "sse", mask=mask)])


@run
def lstm_categories(r):
    net = r.network("LSTM", 9, 12, 9, categorical=True)
    x, y = r.whole(9, 6, 20), r.whole(9, 6, 20)
    r.fit(net, x, y, epochs=3, batch_size=4, optimizer=crnn.Adam(0.02), loss="cross_entropy")
    r.record(net.predict(x, return_state=True), net.predict(x[0]))


@run
def gru_categories_layers_lengths(r):
    net = r.network("GRU", 7, 11, 4, categorical=True, num_layers=2, bidirectional=True)
    x, y, lengths = r.whole(7, 5, 13), r.whole(4, 5, 13), [13, 6, 2, 9, 13]
    arguments = {"loss": "cross_entropy", "lengths": lengths, "clip_norm": 0.1}
    r.fit(net, x, y, epochs=3, batch_size=2, optimizer=crnn.RMSprop(0.01), **arguments)
    r.record(net.predict(x, lengths=lengths))


@run
def tanh_class_weights(r):
    net = r.network("RNN", 5, 8, 3, dtype="float64")
    x, y = r.values(6, 9, 5), r.whole(3, 6, 9)
    loss = crnn.losses.CrossEntropy([1, 5, 0.5])
    r.fit(net, x, y, epochs=3, batch_size=4, optimizer=crnn.SGD(0.1), loss=loss)
    r.record(net.predict(x), net.loss(x, y, loss))


@run
def lstm_binary_cross_entropy(r):
    net = r.network("LSTM", 3, 10, 2)
    x, y = r.values(7, 12, 3), r.whole(2, 7, 12, 2)
    arguments = {"loss": "binary_cross_entropy", "metrics": ["accuracy"]}
    r.fit(net, x, y, epochs=3, batch_size=3, optimizer=crnn.AdamW(0.01), **arguments)
    r.record(net.predict(x))


@run
def gru_huber_validation(r):
    net = r.network("GRU", 4, 7, 3)
    x, y = r.values(8, 10, 4), 2 * r.values(8, 10, 3)
    arguments = {"loss": crnn.losses.Huber(0.7), "seed": 3}
    validation = (r.values(3, 6, 4), r.values(3, 6, 3))
    r.fit(net, x, y, epochs=4, batch_size=3, validation_data=validation, **arguments)
    r.record(net.predict(x))


@run
def lstm_resumed_from_checkpoint(r):
    x, y = r.values(7, 9, 3), r.values(7, 9, 2)
    with tempfile.TemporaryDirectory() as folder:
        arguments = {"batch_size": 2, "checkpoint": Path(folder) / "run.npz", "resume": True}
        for epochs in (2, 5):
            net = r.network("LSTM", 3, 8, 2, num_layers=2, dropout=0.2)
            r.fit(net, x, y, epochs=epochs, optimizer=crnn.Adam(0.01), **arguments)
    r.record(net.predict(x))


@run
def losses_by_themselves(r):
    values, targets, classes = r.values(4, 7, 3), r.values(4, 7, 3), r.whole(3, 4, 7)
    weights = np.abs(r.values(4, 7))
    shares = 1 / (1 + np.exp(-targets))
    losses = crnn.losses
    for loss, y in (
        (losses.MSE(), targets),
        (losses.SSE(), targets),
        (losses.Huber(0.5), targets),
        (losses.BinaryCrossEntropy(), shares),
        (losses.CrossEntropy(), classes),
        (losses.CrossEntropy([1, 2, 0.3]), classes),
    ):
        for given in (values, values.astype(np.float32)):
            for counts in (None, weights):
                r.losses.append(loss.value(given, y, counts))
                r.record(loss.gradient(given, y, counts))


# Truncated BPTT, and forward and backward by hand.


@run
def lstm_bptt(r):
    net = r.network("LSTM", 3, 9, 2)
    x, y = r.values(5, 29, 3), r.values(5, 29, 2)
    r.fit(net, x, y, epochs=3, batch_size=2, bptt=7, optimizer=crnn.SGD(0.1, momentum=0.9))
    r.record(net.predict(x))


@run
def gru_bptt_lengths_layers_h0(r):
    net = r.network("GRU", 3, 8, 2, num_layers=2, dropout=0.25, trainable_h0=True)
    x, y, lengths = r.values(6, 17, 3), r.values(6, 17, 2), [17, 4, 11, 5, 1, 16]
    optimizer = crnn.Adam(0.01)
    r.fit(net, x, y, epochs=3, batch_size=3, bptt=5, lengths=lengths, optimizer=optimizer)
    r.record(net.predict(x, lengths=lengths))


@run
def tanh_backward(r):
    net = r.network("RNN", 4, 9, 3, num_layers=2, bidirectional=True)
    lengths = [8, 3, 12, 1, 12]
    tape = net.forward(r.values(5, 12, 4), r.values(4, 5, 9), lengths)
    r.record(tape.h)
    r.backward(net, tape, r.values(4, 5, 9))


@run
def lstm_backward_checkpointed(r):
    net = r.network("LSTM", 3, 10, 2, num_layers=2, trainable_h0=True, dtype="float64")
    x, lengths = r.values(4, 19, 3), [19, 7, 5, 14]
    dh_n = (r.values(2, 4, 10), r.values(2, 4, 10))
    r.backward(net, net.forward(x, lengths=lengths, checkpoint_every=5), dh_n)
    r.backward(net, net.forward(x, checkpoint_every=6))
    r.backward(net, net.forward(x[0]))


@run
def gru_backward_last_output(r):
    for reset_after in (True, False):
        net = r.network("GRU", 5, 9, 4, return_sequences=False, reset_after=reset_after)
        r.backward(net, net.forward(r.values(3, 11, 5), lengths=[11, 2, 8], checkpoint_every=4))
        r.backward(net, net.forward(r.values(11, 5)), r.values(9))


@run
def relu_backward_categories(r):
    net = r.network("RNN", 6, 10, 3, nonlinearity="relu", categorical=True)
    r.backward(net, net.forward(r.whole(6, 4, 15)))
    r.backward(net, net.forward(r.whole(6, 15), checkpoint_every=4))


# Prediction that goes on, forecasts and streams.


@run
def forecasts(r):
    for family, settings in (
        ("RNN", {}),
        ("GRU", {"num_layers": 2}),
        ("LSTM", {"trainable_h0": True, "dtype": "float64"}),
    ):
        net = r.network(family, 3, 11, 3, **settings)
        x = r.values(4, 13, 3)
        y, state = net.predict(x, return_state=True)
        r.record(y, state, net.predict(x[:, :5], state), net.forecast(x, 7))
        r.record(net.forecast(x[0], 4))


@run
def streams_of_one_sequence(r):
    cells = (("RNN", {}), ("RNN", {"nonlinearity": "relu"}), ("GRU", {}))
    for family, settings in (*cells, ("GRU", {"reset_after": False}), ("LSTM", {})):
        for H in (5, 32, 70):
            net = r.network(family, 3, H, 2, **settings)
            stream = net.stream()
            x = r.values(14, 3)
            r.record([stream.step(x_t) for x_t in x[:5]], stream.run(x[5:11]), stream.state)
            twin = stream.copy()
            r.record(stream.step(x[11]), twin.run(x[12:]), twin.state)


@run
def streams_of_layers_and_batches(r):
    for family, settings in (
        ("RNN", {"num_layers": 2, "dtype": "float64"}),
        ("GRU", {"trainable_h0": True}),
        ("LSTM", {"num_layers": 3}),
    ):
        net = r.network(family, 4, 13, 3, **settings)
        for batch_size in (1, 6):
            stream = net.stream(batch_size)
            x = r.values(batch_size, 12, 4)
            r.record([stream.step(x[:, t]) for t in range(4)], stream.run(x[:, 4:]), stream.state)
            stream.reset()
            r.record(stream.step(x[:, 0]))


@run
def copies_of_layered_streams(r):
    for family, settings in (("GRU", {"num_layers": 2}), ("LSTM", {"trainable_h0": True})):
        net = r.network(family, 3, 9, 2, **settings)
        stream, x = net.stream(), r.values(8, 3)
        r.record(stream.run(x[:5]), stream.copy().run(x[5:]), stream.run(x[5:]), stream.state)


@run
def streams_of_large_steps(r):
    net = r.network("LSTM", 40, 120, 30)
    for batch_size in (1, 11):
        stream = net.stream(batch_size)
        x = r.values(batch_size, 6, 40)
        r.record([stream.step(x[:, t]) for t in range(3)], stream.run(x[:, 3:]), stream.state)


@run
def stream_of_categories(r):
    net = r.network("GRU", 8, 12, 5, categorical=True)
    stream, x = net.stream(), r.whole(8, 10)
    r.record([stream.step(int(number)) for number in x[:6]], stream.run(x[6:]), stream.state)


def print_runs(implementation, instruction_set):
    """Print the lines of all runs in this process."""
    for name, function in RUNS.items():
        found = Run(name, implementation)
        function(found)
        print(f"{name:34} {implementation} {instruction_set:8} {found.line()}")


def print_builds():
    """Print the lines of every build that this machine runs, each from a process of its own."""
    for implementation, instruction_set in BUILDS:
        # BLAS, unlike crnn, may sum in another order with other numbers of threads.
        variables = {"CRNN_IMPLEMENTATION": implementation, "OPENBLAS_NUM_THREADS": "1"}
        if implementation == "native":
            variables["CRNN_CPU"] = instruction_set
        command = [sys.executable, "-P", __file__, "--run", implementation, instruction_set]
        done = subprocess.run(
            command, env=os.environ | variables, capture_output=True, text=True, check=False
        )
        if "CRNN_CPU: expected" in done.stderr:
            print(f"{instruction_set}: not on this machine", file=sys.stderr)
            continue
        sys.stderr.write(done.stderr)
        done.check_returncode()
        sys.stdout.write(done.stdout)


def read(path):
    """Return the hashes of a file by run, implementation and instruction set."""
    rows = (line.split() for line in Path(path).read_text(encoding="utf-8").splitlines())
    return {tuple(row[:3]): row[3:] for row in rows}


def compare(old, new):
    """Print which hashes differ, and return whether parameters and outputs are all the same."""
    before, after = read(old), read(new)
    differing = dict.fromkeys((*HASHES, "missing"), 0)
    for key in before | after:
        if key not in before or key not in after:
            differs = ["missing"]
        else:
            pairs = zip(HASHES, before[key], after[key], strict=True)
            differs = [what for what, was, now in pairs if was != now]
        for what in differs:
            differing[what] += 1
        if differs:
            print(*key, "differs:", ", ".join(differs))
    counts = ", ".join(f"{count} {what}" for what, count in differing.items())
    print(f"{len(before | after)} lines, of which differ: {counts}")
    return not (differing["params"] or differing["outputs"] or differing["missing"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--compare", nargs=2, metavar=("OLD", "NEW"))
    parser.add_argument("--run", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        print_runs(*arguments.run)
    elif arguments.compare:
        sys.exit(not compare(*arguments.compare))
    else:
        print_builds()


if __name__ == "__main__":
    main()
