/* tanh and the sigmoid of crnn, in operations that have one result on every machine. 2^n is made in
   the bits of a number, and choices are masks, so that loops over them become vectors. */
static inline net_u64 net_bits(double x) {
    net_u64 bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline double net_from_bits(net_u64 bits) {
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* The smaller one of two magnitudes, as bits; that of a NaN passes. */
static inline net_u64 net_at_most(net_u64 magnitude, net_u64 limit) {
    net_u64 is_nan = (0x7ff0000000000000u - magnitude) >> 63;
    net_u64 beyond = 0u - (((limit - magnitude) >> 63) & (is_nan ^ 1u));
    return (limit & beyond) | (magnitude & ~beyond);
}

/* r of e^t = power e^r; P and Q of e^r = (Q + P) / (Q - P) */
static inline double net_reduced(double t, double *power) {
    NET_EXACT
    double shifted = t * 1.4426950408889634 + 6755399441056767.0;
    double n = shifted - 6755399441056767.0;
    *power = net_from_bits(net_bits(shifted) << 52);
    return t - n * 6.93145751953125e-1 - n * 1.42860682030941723212e-6;
}

static inline double net_exp_P(double r, double rr) {
    NET_EXACT
    double P = 1.26177193074810590878e-4 * rr + 3.02994407707441961300e-2;
    return (P * rr + 9.99999999999999999910e-1) * r;
}

static inline double net_exp_Q(double rr) {
    NET_EXACT
    double Q = 3.00198505138664455042e-6 * rr + 2.52448340349684104192e-3;
    Q = Q * rr + 2.27265548208155028766e-1;
    return Q * rr + 2;
}

static inline double net_tanh(double x) {
    NET_EXACT
    double a, z, r, power, P, Q, near_P, near_Q, base, numerator, denominator;
    net_u64 sign = net_bits(x) & 0x8000000000000000u;
    net_u64 magnitude = net_at_most(net_bits(x) ^ sign, 0x403319999999999au); /* 19.1 */
    net_u64 is_near = 0u - ((magnitude - 0x3fe4000000000000u) >> 63);         /* below 0.625 */
    a = net_from_bits(magnitude);
    z = a * a;
    r = net_reduced(a + a, &power);
    P = net_exp_P(r, r * r);
    Q = net_exp_Q(r * r);
    numerator = -2 * (Q - P);
    denominator = power * (Q + P) + (Q - P);
    near_P = -9.64399179425052238628e-1 * z - 9.92877231001918586564e1;
    near_P = near_P * z - 1.61468768441708447952e3;
    near_Q = z + 1.12811678491632931402e2;
    near_Q = near_Q * z + 2.23548839060100448583e3;
    near_Q = near_Q * z + 4.84406305325125486048e3;
    base = net_from_bits((net_bits(a) & is_near) | (net_bits(1.0) & ~is_near));
    numerator =
        net_from_bits((net_bits(near_P * z * a) & is_near) | (net_bits(numerator) & ~is_near));
    denominator =
        net_from_bits((net_bits(near_Q) & is_near) | (net_bits(denominator) & ~is_near));
    return net_from_bits(net_bits(base + numerator / denominator) | sign);
}

static inline double net_sigmoid(double x) {
    NET_EXACT
    double r, power, P, Q;
    net_u64 sign = net_bits(x) & 0x8000000000000000u;
    net_u64 magnitude = net_at_most(net_bits(x) ^ sign, 0x4085e00000000000u); /* 700 */
    r = net_reduced(net_from_bits(magnitude | (sign ^ 0x8000000000000000u)), &power);
    P = net_exp_P(r, r * r);
    Q = net_exp_Q(r * r);
    return (Q - P) / (power * (Q + P) + (Q - P));
}
