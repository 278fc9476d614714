/* y = e^(y - the largest) / the sum of these, of n outputs */
static inline void net_softmax(int n, real *y) {
    NET_EXACT
    real largest = y[0], sum = 0;
    int o;
    for (o = 1; o < n; ++o)
        largest = y[o] > largest ? y[o] : largest;
    for (o = 0; o < n; ++o) {
        y[o] = net_exp(y[o] - largest);
        sum += y[o];
    }
    for (o = 0; o < n; ++o)
        y[o] /= sum;
}
