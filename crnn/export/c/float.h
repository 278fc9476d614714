/* tanh and the sigmoid of crnn, in operations that have one result on every machine. 2^n is made in
   the bits of a number, and choices are masks, so that loops over them become vectors. */
static inline net_u32 net_bits(float x) {
    net_u32 bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float net_from_bits(net_u32 bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* The smaller one of two magnitudes, as bits; that of a NaN passes. */
static inline net_u32 net_at_most(net_u32 magnitude, net_u32 limit) {
    net_u32 is_nan = (0x7f800000u - magnitude) >> 31;
    net_u32 beyond = 0u - (((limit - magnitude) >> 31) & (is_nan ^ 1u));
    return (limit & beyond) | (magnitude & ~beyond);
}

/* S of e^r = 1 + r + r^2 S(r) */
static inline float net_exp_tail(float r, float rr) {
    NET_EXACT
    float sum = 8.368717e-3f * r + 4.166839e-2f;
    sum = 1.3814599e-3f * rr + sum;
    return sum * rr + (1.6666521e-1f * r + 4.9999994e-1f);
}

static inline float net_tanh(float x) {
    NET_EXACT
    float a, z, near, shifted, n, power, r, rr, sum, far;
    net_u32 sign = net_bits(x) & 0x80000000u;
    net_u32 magnitude = net_at_most(net_bits(x) ^ sign, 0x4111999au); /* 9.1 */
    net_u32 is_near = 0u - ((magnitude - 0x3f0ccccdu) >> 31);         /* below 0.55 */
    a = net_from_bits(magnitude);
    z = a * a;
    near = 1.643758e-2f * z - 5.2671812e-2f;
    near = near * z + 1.3320725e-1f;
    near = near * z - 3.3332947e-1f;
    near = near * z * a + a;
    shifted = a * 2.8853901f + 12583039.0f;
    n = shifted - 12583039.0f;
    power = net_from_bits(net_bits(shifted) << 23);
    r = (a + a) - n * 0.693147182f;
    rr = r * r;
    sum = power * rr * net_exp_tail(r, rr) + (power * r + (power + 1));
    far = 1 - 2 / sum;
    return net_from_bits((net_bits(near) & is_near) | (net_bits(far) & ~is_near) | sign);
}

static inline float net_sigmoid(float x) {
    NET_EXACT
    float t, shifted, n, power, r, rr;
    net_u32 sign = net_bits(x) & 0x80000000u;
    t = net_from_bits(net_at_most(net_bits(x) ^ sign, 0x42ae0000u) | sign); /* 87 */
    shifted = t * -1.44269502f + 12583039.0f;
    n = shifted - 12583039.0f;
    power = net_from_bits(net_bits(shifted) << 23);
    r = t + n * 0.693359375f + n * -2.12194442e-4f;
    rr = r * r;
    return 1 / (power * (rr * net_exp_tail(-r, rr) - r) + (power + 1));
}
