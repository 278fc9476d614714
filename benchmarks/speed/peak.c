/* The machine's multiply-add peak: registers only multiply and add, and no memory is read.
   CHAINS independent sums hide the latency of two units of four to five cycles. With the factor and
   the term they fit into 16 registers: 16 sums take nearly twice the time of 12 there. */
enum { CHAINS = 12 };

#if defined(__AVX512F__)
#define BYTES 64
#elif defined(__AVX__)
#define BYTES 32
#else
#define BYTES 16
#endif

#define DEFINE(NAME, REAL)                                                                         \
    typedef REAL NAME##_vec __attribute__((vector_size(BYTES)));                                   \
    /* Returns the number of operations; *out keeps the compiler from leaving any out. */           \
    double NAME(long rounds, REAL a, REAL b, REAL *out) {                                          \
        NAME##_vec sums[CHAINS], factor = a - (NAME##_vec){0}, term = b - (NAME##_vec){0};         \
        long round;                                                                                \
        int i;                                                                                     \
        for (i = 0; i < CHAINS; ++i)                                                               \
            sums[i] = term * (REAL)i;                                                              \
        for (round = 0; round < rounds; ++round)                                                   \
            _Pragma("GCC unroll 12") for (i = 0; i < CHAINS; ++i) sums[i] =                        \
                sums[i] * factor + term;                                                           \
        for (i = 1; i < CHAINS; ++i)                                                               \
            sums[0] += sums[i];                                                                    \
        *out = sums[0][0];                                                                         \
        return 2.0 * rounds * CHAINS * (BYTES / sizeof(REAL));                                     \
    }

DEFINE(peak_float32, float)
DEFINE(peak_float64, double)
