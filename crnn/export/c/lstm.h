/* i, f, o = sigmoid(...); g = tanh(...); c_t = f c_{t-1} + i g; h_t = o tanh(c_t), of n units.
   Sums: i, f, g, o. */
static inline void net_units(int n, int first, int count, int inputs, const net_weight *w,
                             const real *b, SCALED(const real *scales,) const real *x,
                             const real *h, real *c, real *next) {
    NET_EXACT
    real sums[4 * NET_UNITS];
    int u;
    for (u = 0; u < 4 * n; ++u)
        sums[u] = b[u];
    net_add(4 * n, count, w + first * 4 * n, SCALED(scales,) x, sums);
    net_add(4 * n, NET_HIDDEN, w + inputs * 4 * n, SCALED(scales + 4 * n,) h, sums);
    for (u = 0; u < n; ++u) {
        real i = net_sigmoid(sums[u]), f = net_sigmoid(sums[n + u]);
        real g = net_tanh(sums[2 * n + u]), o = net_sigmoid(sums[3 * n + u]);
        real memory = f * c[u] + i * g;
        c[u] = memory;
        next[u] = o * net_tanh(memory);
    }
}
