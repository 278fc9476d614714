/* r, z = sigmoid(...); q = r h_{t-1}, of n units, and W_xn x_t + b_n. Sums: that, r, z. */
static inline void net_gates(int n, int first, int count, int inputs, const net_weight *w,
                             const real *b, SCALED(const real *scales,) const real *x,
                             const real *h, const real *before, real *new_sums, real *z,
                             real *q) {
    NET_EXACT
    real sums[3 * NET_UNITS];
    int u;
    for (u = 0; u < 3 * n; ++u)
        sums[u] = b[u];
    net_add(3 * n, count, w + first * 3 * n, SCALED(scales,) x, sums);
    net_add(2 * n, NET_HIDDEN, w + inputs * 3 * n, SCALED(scales + 3 * n,) h, sums + n);
    for (u = 0; u < n; ++u) {
        new_sums[u] = sums[u];
        q[u] = net_sigmoid(sums[n + u]) * before[u];
        z[u] = net_sigmoid(sums[2 * n + u]);
    }
}

/* n_t = tanh(W_xn x_t + b_n + W_hn q); h_t = (1 - z) n_t + z h_{t-1}, of n units */
static inline void net_units(int n, const net_weight *w, SCALED(const real *scales,) const real *q,
                             const real *z, real *new_sums, real *h) {
    NET_EXACT
    int u;
    net_add(n, NET_HIDDEN, w, SCALED(scales,) q, new_sums);
    for (u = 0; u < n; ++u)
        h[u] = (1 - z[u]) * net_tanh(new_sums[u]) + z[u] * h[u];
}

static inline void net_layer(int inputs, int first, int count, const net_weight *weights,
                             const real *biases, SCALED(const real *scales,) const real *x,
                             real *h) {
    real new_sums[NET_HIDDEN], z[NET_HIDDEN], q[NET_HIDDEN];
    const net_weight *w = weights + (3 * inputs + 2 * NET_HIDDEN) * NET_HIDDEN;
    int u;
    for (u = 0; u + NET_UNITS <= NET_HIDDEN; u += NET_UNITS)
        net_gates(NET_UNITS, first, count, inputs, weights + (3 * inputs + 2 * NET_HIDDEN) * u,
                  biases + 3 * u, SCALED(scales + 5 * u,) x, h, h + u, new_sums + u, z + u,
                  q + u);
    if (u < NET_HIDDEN)
        net_gates(NET_HIDDEN % NET_UNITS, first, count, inputs,
                  weights + (3 * inputs + 2 * NET_HIDDEN) * u, biases + 3 * u,
                  SCALED(scales + 5 * u,) x, h, h + u, new_sums + u, z + u, q + u);
    for (u = 0; u + NET_UNITS <= NET_HIDDEN; u += NET_UNITS)
        net_units(NET_UNITS, w + NET_HIDDEN * u, SCALED(scales + 5 * NET_HIDDEN + u,) q, z + u,
                  new_sums + u, h + u);
    if (u < NET_HIDDEN)
        net_units(NET_HIDDEN % NET_UNITS, w + NET_HIDDEN * u,
                  SCALED(scales + 5 * NET_HIDDEN + u,) q, z + u, new_sums + u, h + u);
}
