# tanh and the logistic sigmoid, without a branch or a table and with one division, on a register at
# a time; and relu.
#
# For a = |x|, with the sign restored at the end:
#
#     a < limit:   tanh a = a + a z R(z), z = a^2
#     above:       tanh a = 1 - 2 / (e^(2a) + 1)
#
# Both branches are computed and one is selected. sigmoid x = 1 / (1 + e^(-x)), which keeps its
# digits where it is small, unlike (1 + tanh(x / 2)) / 2.
#
# e^t = 2^n e^r, |r| <= ln(2) / 2, where n is t / ln 2 rounded and r = t - n ln 2. Where e^t is all
# of the result, ln 2 has two parts, so that n times the first is exact (Cody and Waite).
#
# In float64 the limit is 0.625, and R and e^r are rational, e^r = (Q + P) / (Q - P), so both
# branches are base + numerator / denominator and share the division. Coefficients: S. L. Moshier,
# Cephes Mathematical Library 2.8 (1992), tanh.c and exp.c.
#
# In float32 R has four terms and the limit is 0.55, which leaves an error of 4e-8, and
# e^r = 1 + r + r^2 S(r), where S has five terms and e^r an error of 3e-9. The coefficients are a
# minimax fit of the relative error (Lawson's iteration). One row of a network waits for each
# operation of these chains, so the polynomials are short and go by Estrin's scheme, and what
# multiplies or adds to them at the end is computed beside them.

cdef inline vec_f64 reduced(vec_f64 t, vec_f64* power) noexcept nogil:
    """r of e^t = power e^r, for t within the range that `power` has an exponent for."""
    cdef vec_f64 shifted, n
    # Adding 1.5 * 2^52 rounds to a whole number and leaves it in the low bits; the bias of the
    # exponent is added, too.
    shifted = t * splat_f64(1.4426950408889634) + splat_f64(6755399441056767.0)
    n = shifted - splat_f64(6755399441056767.0)
    power[0] = power_of_two_f64(shifted)
    return (t - n * splat_f64(6.93145751953125e-1)
            - n * splat_f64(1.42860682030941723212e-6))


cdef inline vec_f32 exp_tail(float sign, vec_f32 r, vec_f32 rr) noexcept nogil:
    """S of e^t = 1 + t + rr S, where t = sign r; the sign is a literal in each call."""
    cdef vec_f32 sum
    sum = splat_f32(sign * 8.368717e-3) * r + splat_f32(4.166839e-2)
    sum = splat_f32(1.3814599e-3) * rr + sum
    return sum * rr + (splat_f32(sign * 1.6666521e-1) * r + splat_f32(4.9999994e-1))


cdef inline void exp_rational(vec_f64 r, vec_f64* P, vec_f64* Q) noexcept nogil:
    """P and Q of e^r = (Q + P) / (Q - P)."""
    cdef vec_f64 rr = r * r
    P[0] = splat_f64(1.26177193074810590878e-4)
    P[0] = P[0] * rr + splat_f64(3.02994407707441961300e-2)
    P[0] = (P[0] * rr + splat_f64(9.99999999999999999910e-1)) * r
    Q[0] = splat_f64(3.00198505138664455042e-6)
    Q[0] = Q[0] * rr + splat_f64(2.52448340349684104192e-3)
    Q[0] = Q[0] * rr + splat_f64(2.27265548208155028766e-1)
    Q[0] = Q[0] * rr + splat_f64(2)


cdef inline vec vector_tanh(vec x) noexcept nogil:
    cdef vec a, t, z, r, rr, power, near, one, sum, shifted, n
    cdef vec exp_P, exp_Q, tanh_P, tanh_Q, base, numerator, denominator
    if vec is vec_f32:
        # 1 - tanh(9.1) is below half an ulp of 1; the cap keeps 2^n finite.
        a = at_most_f32(magnitude_f32(x), splat_f32(9.1))
        z = a * a
        near = splat_f32(1.643758e-2)
        near = near * z + splat_f32(-5.2671812e-2)
        near = near * z + splat_f32(1.3320725e-1)
        near = near * z + splat_f32(-3.3332947e-1)
        near = near * z * a + a
        # As in `reduced`, with 1.5 * 2^23, ln 2 in one part, and 2a where it is not waited for
        t = a + a
        shifted = a * splat_f32(2.8853900817779268) + splat_f32(12583039.0)
        n = shifted - splat_f32(12583039.0)
        power = power_of_two_f32(shifted)
        r = t - n * splat_f32(0.69314718055994531)
        rr = r * r
        sum = power * rr * exp_tail(1, r, rr) + (power * r + (power + splat_f32(1)))
        one = with_sign_of_f32(splat_f32(1), x)
        return select_below_f32(a, splat_f32(0.55), with_sign_of_f32(near, x),
                                one - (one + one) / sum)
    else:
        one = splat_f64(1)
        a = magnitude_f64(x)
        # 1 - tanh(19.1) is below half an ulp of 1.
        a = at_most_f64(a, splat_f64(19.1))
        z = a * a
        r = reduced(a + a, &power)
        exp_rational(r, &exp_P, &exp_Q)
        numerator = splat_f64(-2) * (exp_Q - exp_P)
        denominator = power * (exp_Q + exp_P) + (exp_Q - exp_P)
        tanh_P = splat_f64(-9.64399179425052238628e-1)
        tanh_P = tanh_P * z + splat_f64(-9.92877231001918586564e1)
        tanh_P = tanh_P * z + splat_f64(-1.61468768441708447952e3)
        tanh_Q = z + splat_f64(1.12811678491632931402e2)
        tanh_Q = tanh_Q * z + splat_f64(2.23548839060100448583e3)
        tanh_Q = tanh_Q * z + splat_f64(4.84406305325125486048e3)
        base = select_below_f64(a, splat_f64(0.625), a, one)
        numerator = select_below_f64(a, splat_f64(0.625), tanh_P * z * a, numerator)
        denominator = select_below_f64(a, splat_f64(0.625), tanh_Q, denominator)
        return with_sign_of_f64(base + numerator / denominator, x)


cdef inline vec vector_sigmoid(vec x) noexcept nogil:
    cdef vec t, r, rr, power, shifted, n, exp_P, exp_Q
    # Beyond the limits 1 + e^t is 1, or its inverse as small as can be; NaN passes.
    if vec is vec_f32:
        # As in `reduced`, of -x with the signs in the constants: r is -r there.
        t = at_most_f32(at_least_f32(x, splat_f32(-87)), splat_f32(87))
        shifted = t * splat_f32(-1.4426950408889634) + splat_f32(12583039.0)
        n = shifted - splat_f32(12583039.0)
        power = power_of_two_f32(shifted)
        r = t + n * splat_f32(0.693359375) + n * splat_f32(-2.12194440e-4)
        rr = r * r
        return splat_f32(1) / (power * (rr * exp_tail(-1, r, rr) - r) + (power + splat_f32(1)))
    else:
        t = at_most_f64(at_least_f64(splat_f64(0) - x, splat_f64(-700)), splat_f64(700))
        r = reduced(t, &power)
        exp_rational(r, &exp_P, &exp_Q)
        return (exp_Q - exp_P) / (power * (exp_Q + exp_P) + (exp_Q - exp_P))


cdef inline vec vector_relu(vec x) noexcept nogil:
    """max(x, 0); NaN passes."""
    if vec is vec_f32:
        return select_below_f32(x, splat_f32(0), splat_f32(0), x)
    else:
        return select_below_f64(x, splat_f64(0), splat_f64(0), x)


cdef inline vec relu_backward(vec dh, vec h) noexcept nogil:
    """dh where h > 0, else 0."""
    if vec is vec_f32:
        return select_below_f32(splat_f32(0), h, dh, splat_f32(0))
    else:
        return select_below_f64(splat_f64(0), h, dh, splat_f64(0))
