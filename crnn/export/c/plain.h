/* h_t = CELL(W_xh x_t + W_hh h_{t-1} + b_h), of n units */
static inline void net_units(int n, int first, int count, int inputs, const net_weight *w,
                             const real *b, SCALED(const real *scales,) const real *x,
                             const real *h, real *next) {
    real sums[NET_UNITS];
    int u;
    for (u = 0; u < n; ++u)
        sums[u] = b[u];
    net_add(n, count, w + first * n, SCALED(scales,) x, sums);
    net_add(n, NET_HIDDEN, w + inputs * n, SCALED(scales + n,) h, sums);
    for (u = 0; u < n; ++u)
        next[u] = ACTIVATION;
}
