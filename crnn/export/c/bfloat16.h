/* A bfloat16 is the upper half of a float. */
static inline float net_widened(net_weight half) {
    net_u32 bits = (net_u32)half << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}
