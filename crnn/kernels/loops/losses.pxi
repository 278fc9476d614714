# Losses of rows of outputs: the value, summed in float64, and where dy is not NULL its gradient.
#
#     y_hat, y, dy   (rows, outputs); dy may be y_hat. The cross entropy's y is (rows,): classes
#     weights        (rows,): w, the weight of each row. NULL: 1
#     total          the divisor of the rows' gradients: the sum of the weights, or 1
#
# The value is the sum of w times each element's loss; the caller divides it. It has the same bits
# with and without dy: the loops that sum products do not mention dy, for a compiler may make two
# versions of those that do, and contract the products of one alone. Both entropies, which take
# long, add it to `value`: a caller can give them some of the rows at a time.

from libc.math cimport NAN, exp, log, log1p


cdef double squared_error(Py_ssize_t n, const real* y_hat, const real* y, double scale,
                          real* dy) noexcept nogil:
    """Sum of (y_hat - y)^2; dy = scale (y_hat - y). Without weights the rows do not matter."""
    cdef double[PARTIAL_SUMS] sums
    cdef real difference
    cdef real factor = <real> scale
    cdef Py_ssize_t i, j
    for j in range(PARTIAL_SUMS):
        sums[j] = 0
    for i in range(n // PARTIAL_SUMS):
        for j in range(PARTIAL_SUMS):
            difference = y_hat[i * PARTIAL_SUMS + j] - y[i * PARTIAL_SUMS + j]
            sums[j] += <double> difference * <double> difference
    for i in range(n // PARTIAL_SUMS * PARTIAL_SUMS, n):
        difference = y_hat[i] - y[i]
        sums[0] += <double> difference * <double> difference
    if dy != NULL:
        for i in range(n):
            dy[i] = factor * (y_hat[i] - y[i])
    return total_of(sums)


cdef double weighted_squared_error(Py_ssize_t rows, Py_ssize_t outputs, const real* y_hat,
                                   const real* y, const double* weights, double total,
                                   double scale, real* dy) noexcept nogil:
    """Sum of w (y_hat - y)^2; dy = scale (y_hat - y) w / total."""
    cdef double value = 0, squares
    cdef real difference, share, factor = <real> scale
    cdef Py_ssize_t row, i
    for row in range(rows):
        share = <real> (weights[row] / total)
        squares = 0
        for i in range(row * outputs, (row + 1) * outputs):
            difference = y_hat[i] - y[i]
            squares += <double> difference * <double> difference
        value += weights[row] * squares
        if dy != NULL:
            for i in range(row * outputs, (row + 1) * outputs):
                dy[i] = (y_hat[i] - y[i]) * factor * share
    return value


cdef double huber(Py_ssize_t rows, Py_ssize_t outputs, const real* y_hat, const real* y,
                  const double* weights, double total, double delta, real* dy) noexcept nogil:
    """Sum of w m (|e| - m / 2) with e = y_hat - y and m = min(|e|, delta).

    dy is e, or the nearer of -delta and delta, times w / (outputs total).
    """
    cdef double value = 0, row_value, weight, error, limited
    cdef real difference, share, upper = <real> delta
    cdef Py_ssize_t row, i
    for row in range(rows):
        weight = 1 if weights == NULL else weights[row]
        share = <real> (weight / total)
        row_value = 0
        for i in range(row * outputs, (row + 1) * outputs):
            difference = y_hat[i] - y[i]
            error = abs(<double> difference)
            # A NaN passes all comparisons and stays.
            limited = delta if error > delta else error
            row_value += limited * (error - limited / 2)
        value += weight * row_value
        if dy != NULL:
            for i in range(row * outputs, (row + 1) * outputs):
                difference = y_hat[i] - y[i]
                difference = upper if difference > upper else difference
                difference = -upper if difference < -upper else difference
                dy[i] = difference / <real> outputs * share
    return value


cdef double binary_cross_entropy(double value, Py_ssize_t rows, Py_ssize_t outputs,
                                 const real* y_hat, const real* y, const double* weights,
                                 double total, real* dy) noexcept nogil:
    """`value` and the sum of w (-y log p - (1 - y) log(1 - p)), p = 1 / (1 + exp(-y_hat)).

    dy = w (p - y) / (outputs total).
    """
    cdef double row_value, weight, z, target, small, p, other
    cdef Py_ssize_t row, i
    for row in range(rows):
        weight = 1 if weights == NULL else weights[row]
        row_value = 0
        for i in range(row * outputs, (row + 1) * outputs):
            z, target = y_hat[i], y[i]
            small = exp(-abs(z))
            # log(1 + exp(z)) = max(z, 0) + log(1 + exp(-|z|)), in which nothing overflows
            row_value += (0 if z < 0 else z) - z * target + log1p(small)
            if dy != NULL:
                # p - y = (1 - y) p - y (1 - p), whose terms keep their digits however small
                p, other = small if z < 0 else 1, 1 if z < 0 else small
                dy[i] = <real> (((1 - target) * p - target * other) / (1 + small) / outputs
                                * (weight / total))
        value += weight * row_value
    return value


cdef double cross_entropy(double value, Py_ssize_t rows, Py_ssize_t classes,
                          const real* y_hat, const Py_ssize_t* y, const double* weights,
                          double total, real* dy) noexcept nogil:
    """`value` and the sum of -w log softmax(y_hat)[y].

    dy = (softmax(y_hat) - one_hot(y)) w / total.
    """
    cdef double weight, divisor, highest, normalizer, target_logit
    cdef Py_ssize_t row, c, target
    for row in range(rows):
        # Read once and checked again: another thread may have changed it since the first check.
        target = y[row]
        if not 0 <= target < classes:
            return NAN
        weight = 1 if weights == NULL else weights[row]
        # Shifted by the largest logit, no exponential overflows.
        highest = y_hat[0]
        for c in range(1, classes):
            highest = max(highest, <double> y_hat[c])
        normalizer = 0
        for c in range(classes):
            normalizer += exp(y_hat[c] - highest)
        target_logit = y_hat[target] - highest
        value += weight * (log(normalizer) - target_logit)
        if dy != NULL:
            divisor = total / weight
            for c in range(classes):
                dy[c] = <real> (exp(y_hat[c] - highest) / (normalizer * divisor))
            dy[target] = <real> ((exp(target_logit) / normalizer - 1) / divisor)
            dy += classes
        y_hat += classes
    return value
