/* sums[k] += scales[k] times the products of `count` numbers with `width` weights each, one after
   another: the order of the sums does not depend on the width of vectors. */
static inline void net_add(int width, int count, const net_weight *w, const real *scales,
                           const real *x, real *sums) {
    NET_EXACT
    real s[NET_WIDTH];
    int i, k;
    for (k = 0; k < width; ++k)
        s[k] = 0;
    for (i = 0; i < count; ++i)
        for (k = 0; k < width; ++k)
            s[k] += WIDENED(w[i * width + k]) * x[i];
    for (k = 0; k < width; ++k)
        sums[k] += scales[k] * s[k];
}
