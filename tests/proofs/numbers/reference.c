/* Compare values of tanh and the sigmoid with those of the C library in a wider type.

   float32 is compared with the library's double functions. Their error is below 3 units in the last
   place (the GNU C library's manual, "Known Maximum Errors in Math Functions"), which is below 1e-8
   of a unit of float32. float64 is compared with long double: 64 bits of significand on x86, 113 on
   AArch64; an error of 5 units there is below 0.003 of a unit of float64. evaluate.py computes the
   worst arguments again with 60 decimal digits.

   A unit in the last place is that of the binade of the exact value. Where the exact value is below
   SMALLEST, the value only has to be below it too: of tanh the subnormal numbers, which calls flush
   to zero; of the sigmoid those at arguments below -87 (float32) and -700 (float64), where it stays
   what it is there. */
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct {
    double worst, worst_at;           /* the largest error in units, and its argument */
    double drop, drop_at;             /* the largest decrease between neighbors, in units */
    int64_t counted, drops;           /* values compared; neighbors in the wrong order */
    int64_t beyond, not_odd, tiny;    /* outside the bounds; f(-x) is not -f(x); below SMALLEST */
} Findings;

static double tanh_double(double x) { return tanh(x); }
static double sigmoid_double(double x) { return 1 / (1 + exp(-x)); }
static long double tanh_long(long double x) { return tanhl(x); }
static long double sigmoid_long(long double x) { return 1 / (1 + expl(-x)); }

/* x increases; `opposite` has the values at -x, or is NULL. */
#define CRNN_DEFINE(NAME, REAL, WIDE, EXACT, LOWEST, SMALLEST, DIGITS, FREXP, LDEXP, FABS)         \
    void NAME(ptrdiff_t n, const REAL *x, const REAL *y, const REAL *opposite, Findings *f) {      \
        ptrdiff_t i;                                                                               \
        for (i = 0; i < n; ++i) {                                                                  \
            WIDE exact = EXACT((WIDE)x[i]), unit;                                                  \
            double error;                                                                          \
            int exponent;                                                                          \
            if (!(y[i] >= LOWEST && y[i] <= 1))                                                    \
                ++f->beyond;                                                                       \
            if (opposite && opposite[i] != -y[i])                                                  \
                ++f->not_odd;                                                                      \
            (void)FREXP(exact, &exponent);                                                         \
            unit = LDEXP((WIDE)1, exponent - DIGITS);                                              \
            if (i && y[i] < y[i - 1]) {                                                            \
                double drop = (double)((WIDE)(y[i - 1] - y[i]) / unit);                            \
                ++f->drops;                                                                        \
                if (drop > f->drop)                                                                \
                    f->drop = drop, f->drop_at = (double)x[i];                                     \
            }                                                                                      \
            if (FABS(exact) < SMALLEST) {                                                          \
                if (FABS((WIDE)y[i]) > SMALLEST * (1 + 0x1p-22))                                   \
                    ++f->beyond;                                                                   \
                ++f->tiny;                                                                         \
                continue;                                                                          \
            }                                                                                      \
            error = (double)(FABS((WIDE)y[i] - exact) / unit);                                     \
            ++f->counted;                                                                          \
            if (!(error <= f->worst))                                                              \
                f->worst = error, f->worst_at = (double)x[i];                                      \
        }                                                                                          \
    }

#define E_87 1.6458114310822737e-38     /* e^-87 */
#define E_700 9.859676543759770568e-305L /* e^-700 */

CRNN_DEFINE(compare_tanh_f32, float, double, tanh_double, -1, 0x1p-126, 24, frexp, ldexp, fabs)
CRNN_DEFINE(compare_sigmoid_f32, float, double, sigmoid_double, 0, E_87, 24, frexp, ldexp, fabs)
CRNN_DEFINE(compare_tanh_f64, double, long double, tanh_long, -1, 0x1p-1022L, 53, frexpl, ldexpl,
            fabsl)
CRNN_DEFINE(compare_sigmoid_f64, double, long double, sigmoid_long, 0, E_700, 53, frexpl, ldexpl,
            fabsl)
