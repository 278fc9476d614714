/* e^x; beyond -700 and 700 that of the nearer one */
static inline double net_exp(double x) {
    NET_EXACT
    double r, power, P, Q;
    net_u64 sign = net_bits(x) & 0x8000000000000000u;
    net_u64 magnitude = net_at_most(net_bits(x) ^ sign, 0x4085e00000000000u); /* 700 */
    r = net_reduced(net_from_bits(magnitude | sign), &power);
    P = net_exp_P(r, r * r);
    Q = net_exp_Q(r * r);
    return power * ((Q + P) / (Q - P));
}
