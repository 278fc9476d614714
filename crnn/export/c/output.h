static inline void net_output(const real *h, real *y) {
    int o;
    memcpy(y, net_b_y, sizeof net_b_y);
    for (o = 0; o + NET_OUTPUT_UNITS <= NET_OUTPUTS; o += NET_OUTPUT_UNITS)
        net_add(NET_OUTPUT_UNITS, NET_HIDDEN, net_W_hy + NET_HIDDEN * o,
                SCALED(net_W_hy_scales + o,) h, y + o);
    if (o < NET_OUTPUTS)
        net_add(NET_OUTPUTS % NET_OUTPUT_UNITS, NET_HIDDEN, net_W_hy + NET_HIDDEN * o,
                SCALED(net_W_hy_scales + o,) h, y + o);
}
