/* sums[k] += the products of `count` numbers with `width` weights each, one after another: the
   order of the sums does not depend on the width of vectors. */
static inline void net_add(int width, int count, const net_weight *w, const real *x, real *sums) {
    NET_EXACT
    real s[NET_WIDTH];
    int i, k;
    for (k = 0; k < width; ++k)
        s[k] = sums[k];
    for (i = 0; i < count; ++i)
        for (k = 0; k < width; ++k)
            s[k] += WIDENED(w[i * width + k]) * x[i];
    for (k = 0; k < width; ++k)
        sums[k] = s[k];
}
