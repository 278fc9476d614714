/* A sensor on a Cortex-M4F: a network reads each sample, and an alarm is kept while its output is
   above a limit. On a device a timer calls `sample`; here the loop does, and prints by
   semihosting, so that QEMU can run it (`make exported-bits`). */
#include <stdio.h>

#include "pump.h"

#define LIMIT -0.5f

static pump_state state;
static int alarm_is_on;

/* Called for each sample, as by the handler of a timer. */
static void sample(const float *reading) {
    float y[PUMP_OUTPUTS];
    pump_step(&state, reading, y);
    alarm_is_on = y[0] > LIMIT;
}

int main(void) {
    int t, i;
    pump_reset(&state);
    for (t = 0; t < 40; ++t) {
        float reading[PUMP_INPUTS];
        for (i = 0; i < PUMP_INPUTS; ++i)
            reading[i] = (float)((t * (i + 3)) % 17 - 8) / 4;
        sample(reading);
        putchar(alarm_is_on ? '1' : '0');
    }
    putchar('\n');
    return 0;
}
