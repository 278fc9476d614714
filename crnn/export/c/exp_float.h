/* e^x; beyond -87 and 87 that of the nearer one */
static inline float net_exp(float x) {
    NET_EXACT
    float t, shifted, n, power, r, rr;
    net_u32 sign = net_bits(x) & 0x80000000u;
    t = net_from_bits(net_at_most(net_bits(x) ^ sign, 0x42ae0000u) | sign); /* 87 */
    shifted = t * 1.44269502f + 12583039.0f;
    n = shifted - 12583039.0f;
    power = net_from_bits(net_bits(shifted) << 23);
    r = t - n * 0.693359375f - n * -2.12194442e-4f;
    rr = r * r;
    return power * (rr * net_exp_tail(r, rr) + r) + power;
}
