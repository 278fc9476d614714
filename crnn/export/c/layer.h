/* A step of a layer of `inputs` inputs, of which `count` are read, from number `first` on. */
static inline void net_layer(int inputs, int first, int count, const net_weight *weights,
                             const real *biases, SCALED(const real *scales,) const real *x,
                             STATES) {
    real next[NET_HIDDEN];
    int u;
    for (u = 0; u + NET_UNITS <= NET_HIDDEN; u += NET_UNITS)
        net_units(NET_UNITS, first, count, inputs, weights + BLOCKS * (inputs + NET_HIDDEN) * u,
                  biases + BIASES * u, SCALED(scales + 2 * BLOCKS * u,) x, h, OWN next + u);
    if (u < NET_HIDDEN)
        net_units(NET_HIDDEN % NET_UNITS, first, count, inputs,
                  weights + BLOCKS * (inputs + NET_HIDDEN) * u, biases + BIASES * u,
                  SCALED(scales + 2 * BLOCKS * u,) x, h, OWN next + u);
    memcpy(h, next, sizeof next);
}
