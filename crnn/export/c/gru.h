/* r, z = sigmoid(...); n_t = tanh(W_xn x_t + b_n + r (W_hn h_{t-1} + b_hn));
   h_t = (1 - z) n_t + z h_{t-1}, of n units. Sums: W_xn x_t + b_n, r, z, W_hn h_{t-1} + b_hn. */
static inline void net_units(int n, int first, int count, int inputs, const net_weight *w,
                             const real *b, SCALED(const real *scales,) const real *x,
                             const real *h, const real *before, real *next) {
    NET_EXACT
    real sums[4 * NET_UNITS];
    int u;
    for (u = 0; u < 4 * n; ++u)
        sums[u] = b[u];
    net_add(3 * n, count, w + first * 3 * n, SCALED(scales,) x, sums);
    net_add(3 * n, NET_HIDDEN, w + inputs * 3 * n, SCALED(scales + 3 * n,) h, sums + n);
    for (u = 0; u < n; ++u) {
        real r = net_sigmoid(sums[n + u]), z = net_sigmoid(sums[2 * n + u]);
        real value = net_tanh(sums[u] + r * sums[3 * n + u]);
        next[u] = (1 - z) * value + z * before[u];
    }
}
