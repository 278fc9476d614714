#include <stdio.h>

#include "FILE"

#define STEPS N_STEPS

INPUTS

EXPECTED

/* Whether the compiler contracts a product and a sum to one operation, which has other bits. */
static int contracts(void) {
    NET_EXACT
    volatile real v = ABOVE_ONE;
    volatile real product = v * v;
    return v * v - product != 0;
}

int main(void) {
    net_state state;
    real y[NET_OUTPUTS];
    int pass, t, o, other_bits = 0, wrong = 0, contracted = contracts();
    for (pass = 0; pass < 2; ++pass) {
        net_reset(&state);
        for (t = 0; t < STEPS; ++t) {
            STEP
            for (o = 0; o < NET_OUTPUTS; ++o) {
                real difference = y[o] - expected[t][o];
                other_bits += memcmp(&y[o], &expected[t][o], sizeof y[o]) != 0;
                wrong += !(difference <= TOLERANCE && -difference <= TOLERANCE);
            }
        }
    }
    printf("PREFIX: %d outputs, %d with other bits, %d beyond the tolerance; contraction %s\n",
           2 * STEPS * NET_OUTPUTS, other_bits, wrong, contracted ? "on" : "off");
    return wrong > 0 || (!contracted && other_bits > 0);
}
