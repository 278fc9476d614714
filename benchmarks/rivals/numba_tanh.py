"""tanh for Numba, branch-free, so that the compiler spreads a loop of it over vector lanes.

`np.tanh` in compiled code is a call for each element, some ten times as long; Intel's vector
library, which would help, does not go with the llvmlite that comes as a wheel.
"""

import math

import numba
import numpy as np
from numba.extending import overload

REAL = np.float32
# The rational function of Eigen, PyTorch, JAX and ONNX Runtime: x P(x^2) / Q(x^2)
LIMIT = REAL(7.9)
P = tuple(
    map(REAL, (4.89352455891786e-03, 6.37261928875436e-04, 1.48572235717979e-05,
               5.12229709037114e-08, -8.60467152213735e-11, 2.00018790482477e-13,
               -2.76076847742355e-16))
)  # fmt: skip
Q = tuple(
    map(REAL, (4.89352518554385e-03, 2.26843463243900e-03, 1.18534705686654e-04,
               1.19825839466702e-06))
)  # fmt: skip

# 1 - 2 / (e^2x + 1): e^r by its series for |r| <= log(2) / 2, times 2^n by the bits of a double
SATURATED = 20.0
SERIES = tuple(1 / math.factorial(k) for k in range(13))
LOG2_E, LOG2_HIGH, LOG2_LOW = 1 / math.log(2), 6.93145751953125e-1, 1.42860682030941723e-6
BIAS, FRACTION_BITS = np.int64(1023), np.int64(52)


def tanh(a):
    """Return tanh of one number, inside compiled code."""
    return math.tanh(a)


@overload(tanh, inline="always")
def _of_type(a):
    def rational(a):
        x = min(max(a, -LIMIT), LIMIT)
        s = x * x
        p = P[6]
        p = p * s + P[5]
        p = p * s + P[4]
        p = p * s + P[3]
        p = p * s + P[2]
        p = p * s + P[1]
        p = p * s + P[0]
        q = Q[3]
        q = q * s + Q[2]
        q = q * s + Q[1]
        q = q * s + Q[0]
        return x * p / q

    def by_exp(a):
        x = min(abs(a), SATURATED) * 2
        n = math.floor(x * LOG2_E + 0.5)
        r = (x - n * LOG2_HIGH) - n * LOG2_LOW
        p = SERIES[12]
        p = p * r + SERIES[11]
        p = p * r + SERIES[10]
        p = p * r + SERIES[9]
        p = p * r + SERIES[8]
        p = p * r + SERIES[7]
        p = p * r + SERIES[6]
        p = p * r + SERIES[5]
        p = p * r + SERIES[4]
        p = p * r + SERIES[3]
        p = p * r + SERIES[2]
        p = p * r + SERIES[1]
        p = p * r + SERIES[0]
        e = p * np.int64((np.int64(n) + BIAS) << FRACTION_BITS).view(np.float64)
        return math.copysign(1 - 2 / (e + 1), a)

    return rational if a == numba.float32 else by_exp
