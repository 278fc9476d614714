# tanh, without a branch or a table and with one division, on a register at a time.
#
# For a = |x|, with the sign restored at the end:
#
#     a < 0.625:   tanh a = a + a z R(z), z = a^2
#     above:       tanh a = 1 - 2 / (e^(2a) + 1),   e^(2a) = 2^n e^r,   |r| <= ln(2) / 2
#
# n is 2a / ln 2 rounded, and r = 2a - n ln 2 with ln 2 in two parts, so that n times the first is
# exact (Cody and Waite). Both branches are computed and one is selected.
#
# Coefficients: S. L. Moshier, Cephes Mathematical Library 2.8 (1992), tanh.c and exp.c for
# float64, tanhf.c and expf.c for float32. In float64 R and e^r
# are rational, e^r = (Q + P) / (Q - P), so both branches are base + numerator / denominator and
# share the division.

cdef inline vec vector_tanh(vec x) noexcept nogil:
    cdef vec a, z, r, rr, n, shifted, exp_r, near, far, one
    cdef vec exp_P, exp_Q, tanh_P, tanh_Q, base, numerator, denominator
    if vec is vec_f32:
        one = splat_f32(1)
        a = magnitude_f32(x)
        # 1 - tanh(9.1) is below half an ulp of 1; the cap keeps 2^n finite and lets NaN through.
        a = select_below_f32(splat_f32(9.1), a, splat_f32(9.1), a)
        z = a * a
        near = splat_f32(-5.70498872745e-3)
        near = near * z + splat_f32(2.06390887954e-2)
        near = near * z + splat_f32(-5.37397155531e-2)
        near = near * z + splat_f32(1.33314422036e-1)
        near = near * z + splat_f32(-3.33332819422e-1)
        near = near * z * a + a
        # Adding 1.5 * 2^23 rounds to a whole number and leaves it in the low bits.
        shifted = a * splat_f32(2.8853900817779268) + splat_f32(12582912.0)
        n = shifted - splat_f32(12582912.0)
        r = (a + a) - n * splat_f32(0.693359375)
        r = r - n * splat_f32(-2.12194440e-4)
        # By Estrin's scheme: three short chains in place of a long one, for latency's sake
        rr = r * r
        exp_r = splat_f32(1.9875691500e-4) * r + splat_f32(1.3981999507e-3)
        exp_r = exp_r * rr + (splat_f32(8.3334519073e-3) * r + splat_f32(4.1665795894e-2))
        exp_r = exp_r * rr + (splat_f32(1.6666665459e-1) * r + splat_f32(5.0000001201e-1))
        exp_r = exp_r * rr + r + one
        far = one - splat_f32(2) / (exp_r * power_of_two_f32(shifted) + one)
        return with_sign_of_f32(select_below_f32(a, splat_f32(0.625), near, far), x)
    else:
        one = splat_f64(1)
        a = magnitude_f64(x)
        # 1 - tanh(19.1) is below half an ulp of 1.
        a = select_below_f64(splat_f64(19.1), a, splat_f64(19.1), a)
        z = a * a
        shifted = a * splat_f64(2.8853900817779268) + splat_f64(6755399441055744.0)
        n = shifted - splat_f64(6755399441055744.0)
        r = (a + a) - n * splat_f64(6.93145751953125e-1)
        r = r - n * splat_f64(1.42860682030941723212e-6)
        rr = r * r
        exp_P = splat_f64(1.26177193074810590878e-4)
        exp_P = exp_P * rr + splat_f64(3.02994407707441961300e-2)
        exp_P = (exp_P * rr + splat_f64(9.99999999999999999910e-1)) * r
        exp_Q = splat_f64(3.00198505138664455042e-6)
        exp_Q = exp_Q * rr + splat_f64(2.52448340349684104192e-3)
        exp_Q = exp_Q * rr + splat_f64(2.27265548208155028766e-1)
        exp_Q = exp_Q * rr + splat_f64(2)
        numerator = splat_f64(-2) * (exp_Q - exp_P)
        denominator = power_of_two_f64(shifted) * (exp_Q + exp_P) + (exp_Q - exp_P)
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
