# cython: language_level=3, boundscheck=False, cdivision=True, freethreading_compatible=True
"""Control a motor with a network that learns while it acts, in one loop without the GIL.

Build with the setup.py beside this file, crnn, Cython, setuptools and a C compiler installed:

    python setup.py build_ext --inplace
    python -c "import control; control.main()"

The motor is to follow a speed that changes all the time. The network predicts the voltage from that
speed and its rate of change, a proportional controller adds to it, and the network learns the sum:
feedback-error learning (Kawato, Furukawa and Suzuki 1987, "A hierarchical neural-network model for
control and learning of voluntary movement"). The better the network knows the motor, the less is
left to the controller, whose part needs an error of the speed. The motor's friction grows during
the run, so the network has to go on learning.

A step of the loop is a sample of 100 microseconds of the motor: predict, act, learn.
"""

from libc.math cimport tanh

from crnn cimport Stream, Trainer

import numpy as np

import crnn

cdef extern from "<time.h>" nogil:
    # Of C11, because Windows has no clock_gettime
    struct timespec:
        long long tv_sec
        long tv_nsec
    int timespec_get(timespec*, int base)
    enum: TIME_UTC

cdef enum:
    WINDOW = 10  # steps that a step of the optimizer learns from

cdef double SAMPLE = 1e-4     # seconds
cdef double INERTIA = 0.02
cdef double COULOMB = 0.2     # friction at any speed
cdef double RATE = 0.02       # of the reference speed, scaled to about 1
cdef double FEEDBACK = 5      # volts for each unit of error
cdef double LIMIT = 5         # volts


cdef inline double after_sample(double speed, double voltage, double friction) noexcept nogil:
    """The motor's speed a sample later."""
    cdef double torque = voltage - friction * speed - COULOMB * tanh(20 * speed)
    return speed + SAMPLE * torque / INERTIA


cdef inline double nanoseconds() noexcept nogil:
    cdef timespec now
    timespec_get(&now, TIME_UTC)
    return 1e9 * now.tv_sec + now.tv_nsec


def control(Stream stream, Trainer trainer, const float[::1] reference, bint learns):
    """Follow a reference; return the errors of the speed, and the nanoseconds of each step."""
    cdef Py_ssize_t t, first, steps = reference.shape[0] - 1
    cdef int code = 0
    cdef double speed = 0, friction, loss, start
    cdef float feedforward
    errors, times = np.zeros(steps), np.zeros(steps)
    cdef double[::1] error = errors, time = times
    cdef float[:, ::1] x = np.zeros((steps, 2), "float32")
    cdef float[::1] voltage = np.zeros(steps, "float32")
    with nogil:
        for t in range(steps):
            start = nanoseconds()
            friction = 0.5 + 1.5 * t / steps
            # Predict.
            x[t, 0] = reference[t]
            x[t, 1] = <float> (RATE * (reference[t + 1] - reference[t]) / SAMPLE)
            code = stream.step_float(&x[t, 0], &feedforward)
            if code:
                break
            # Act.
            error[t] = reference[t] - speed
            voltage[t] = <float> max(-LIMIT, min(LIMIT, feedforward + FEEDBACK * error[t]))
            speed = after_sample(speed, voltage[t], friction)
            # Learn.
            first = t + 1 - WINDOW
            if learns and first >= 0:
                code = (trainer.train_float(&x[first, 0], &voltage[first], &loss)
                        or trainer.update_stream(stream))
                if code:
                    break
            time[t] = nanoseconds() - start
    if code:
        raise RuntimeError(f"step {t}: crnn returned {code}, see crnn.h")
    return errors, times


def reference_speed(Py_ssize_t steps):
    t = SAMPLE * np.arange(steps + 1)
    return (0.6 * np.sin(10 * np.pi * t) + 0.3 * np.sin(22 * np.pi * t)).astype("float32")


def run(steps=30_000, learns=True):
    """Errors, times and the network after so many steps."""
    net = crnn.RNN(2, 16, 1, seed=0)
    net.params["W_hy"][...] = 0  # before it has learned, it predicts 0
    trainer = net.trainer(crnn.Adam(0.003), clip_norm=1.0, time=WINDOW)
    errors, times = control(net.stream(), trainer.core, reference_speed(steps), learns)
    trainer.sync()
    return errors, times, net


def main():
    for learns in (False, True):
        errors, times, _ = run(learns=learns)
        parts = [np.sqrt(np.mean(part**2)) for part in np.array_split(errors, 3)]
        print("with the network:  " if learns else "feedback alone:    ",
              "RMS error in the three thirds of the run",
              ", ".join(f"{part:.4f}" for part in parts))
    median, late = np.quantile(times, [0.5, 0.999]) / 1000
    print(f"a step, which predicts, acts and learns from {WINDOW} samples: median {median:.1f} us, "
          f"99.9 % within {late:.1f} us; {1e9 * len(times) / times.sum():.0f} steps a second")
