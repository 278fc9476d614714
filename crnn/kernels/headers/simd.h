/* The vector types of the loops, and the few operations that C writes differently for each width.

   A `vec_f32` or `vec_f64` is one register of the instruction set this file is compiled for:
   64 bytes with AVX-512, 32 with AVX, 16 with SSE2 or NEON. GCC and Clang give such types the
   operators + - * /, which are all that the loops need beside the functions here. Other
   compilers get plain scalars (one lane) and may vectorize the loops by themselves.

   NV registers make a row of a tile and MR rows its height. The accumulators (MR * NV), one
   row of a panel (NV) and a broadcast have to fit the register file: 32 registers with AVX-512
   and NEON, 16 otherwise. */
#ifndef CRNN_SIMD_H
#define CRNN_SIMD_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__AVX__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
#define CRNN_VECTOR_BYTES 64
#elif defined(__AVX__)
#define CRNN_VECTOR_BYTES 32
#else
#define CRNN_VECTOR_BYTES 16
#endif

#if defined(__AVX512F__)
enum { MR = 8, NV = 3 };
#elif defined(__aarch64__)
enum { MR = 6, NV = 3 };
#else
enum { MR = 6, NV = 2 };
#endif

#if defined(__GNUC__) /* Clang defines it too */

#define CRNN_INLINE static inline __attribute__((always_inline, unused))

CRNN_INLINE void prefetch_line(const void *p) { __builtin_prefetch(p); }

enum { LANES_F32 = CRNN_VECTOR_BYTES / 4, LANES_F64 = CRNN_VECTOR_BYTES / 8 };

typedef float vec_f32 __attribute__((vector_size(CRNN_VECTOR_BYTES)));
typedef double vec_f64 __attribute__((vector_size(CRNN_VECTOR_BYTES)));
typedef int32_t bits_f32 __attribute__((vector_size(CRNN_VECTOR_BYTES)));
typedef int64_t bits_f64 __attribute__((vector_size(CRNN_VECTOR_BYTES)));

/* splat: every lane holds x. The literal zero is subtracted, not added: -0 + 0 is +0. */
#define CRNN_DEFINE(SUFFIX, REAL, INT, EXPONENT_BITS)                                              \
    CRNN_INLINE vec_##SUFFIX splat_##SUFFIX(REAL x) { return x - (vec_##SUFFIX){0}; }              \
    CRNN_INLINE vec_##SUFFIX load_##SUFFIX(const REAL *p) {                                        \
        vec_##SUFFIX v;                                                                            \
        memcpy(&v, p, sizeof v);                                                                   \
        return v;                                                                                  \
    }                                                                                              \
    CRNN_INLINE void store_##SUFFIX(REAL *p, vec_##SUFFIX v) { memcpy(p, &v, sizeof v); }          \
    /* 2^n for a whole number n within the exponent's range, kept in a floating lane after a */    \
    /* large constant was added that leaves n and the exponent's bias in the low bits of the */    \
    /* significand */                                                                              \
    CRNN_INLINE vec_##SUFFIX power_of_two_##SUFFIX(vec_##SUFFIX shifted) {                         \
        return (vec_##SUFFIX)((bits_##SUFFIX)shifted << EXPONENT_BITS);                            \
    }

CRNN_DEFINE(f32, float, int32_t, 23)
CRNN_DEFINE(f64, double, int64_t, 52)
#undef CRNN_DEFINE

/* magnitude: |v|. with_sign_of: v >= 0 with the sign bit of another. select_below: where
   below < limit: yes, elsewhere (and where below is NaN): no. at_most, at_least: v or the limit
   beyond it; NaN passes. */
#if defined(__AVX__)
/* In floating-point instructions: those on integers, to which compilers turn the expressions below,
   wait two cycles more for what an addition or multiplication has made. */
#if defined(__AVX512F__)
#define CRNN_INTRINSIC(NAME, KIND) _mm512_##NAME##_##KIND
#define CRNN_SELECT_BELOW(below, limit, yes, no, KIND)                                             \
    _mm512_mask_blend_##KIND(_mm512_cmp_##KIND##_mask(below, limit, _CMP_LT_OQ), no, yes)
#else
#define CRNN_INTRINSIC(NAME, KIND) _mm256_##NAME##_##KIND
#define CRNN_SELECT_BELOW(below, limit, yes, no, KIND)                                             \
    _mm256_blendv_##KIND(no, yes, _mm256_cmp_##KIND(below, limit, _CMP_LT_OQ))
#endif
#define CRNN_DEFINE(SUFFIX, KIND, REGISTER)                                                        \
    CRNN_INLINE vec_##SUFFIX magnitude_##SUFFIX(vec_##SUFFIX v) {                                  \
        return (vec_##SUFFIX)CRNN_INTRINSIC(andnot, KIND)((REGISTER)splat_##SUFFIX(-0.0f),         \
                                                          (REGISTER)v);                            \
    }                                                                                              \
    CRNN_INLINE vec_##SUFFIX with_sign_of_##SUFFIX(vec_##SUFFIX v, vec_##SUFFIX sign) {            \
        REGISTER bit =                                                                             \
            CRNN_INTRINSIC(and, KIND)((REGISTER)sign, (REGISTER)splat_##SUFFIX(-0.0f));            \
        return (vec_##SUFFIX)CRNN_INTRINSIC(or, KIND)((REGISTER)v, bit);                           \
    }                                                                                              \
    CRNN_INLINE vec_##SUFFIX select_below_##SUFFIX(vec_##SUFFIX below, vec_##SUFFIX limit,         \
                                                   vec_##SUFFIX yes, vec_##SUFFIX no) {            \
        return (vec_##SUFFIX)CRNN_SELECT_BELOW((REGISTER)below, (REGISTER)limit, (REGISTER)yes,    \
                                               (REGISTER)no, KIND);                                \
    }                                                                                              \
    CRNN_INLINE vec_##SUFFIX at_most_##SUFFIX(vec_##SUFFIX v, vec_##SUFFIX limit) {                \
        return (vec_##SUFFIX)CRNN_INTRINSIC(min, KIND)((REGISTER)limit, (REGISTER)v);              \
    }                                                                                              \
    CRNN_INLINE vec_##SUFFIX at_least_##SUFFIX(vec_##SUFFIX v, vec_##SUFFIX limit) {               \
        return (vec_##SUFFIX)CRNN_INTRINSIC(max, KIND)((REGISTER)limit, (REGISTER)v);              \
    }

#if defined(__AVX512F__)
CRNN_DEFINE(f32, ps, __m512)
CRNN_DEFINE(f64, pd, __m512d)
#else
CRNN_DEFINE(f32, ps, __m256)
CRNN_DEFINE(f64, pd, __m256d)
#endif
#undef CRNN_SELECT_BELOW
#undef CRNN_INTRINSIC
#else
#define CRNN_DEFINE(SUFFIX, REAL)                                                                  \
    CRNN_INLINE vec_##SUFFIX magnitude_##SUFFIX(vec_##SUFFIX v) {                                  \
        return (vec_##SUFFIX)((bits_##SUFFIX)v & ~((bits_##SUFFIX)splat_##SUFFIX((REAL)-0.0)));    \
    }                                                                                              \
    CRNN_INLINE vec_##SUFFIX with_sign_of_##SUFFIX(vec_##SUFFIX v, vec_##SUFFIX sign) {            \
        bits_##SUFFIX mask = (bits_##SUFFIX)splat_##SUFFIX((REAL)-0.0);                            \
        return (vec_##SUFFIX)((bits_##SUFFIX)v | ((bits_##SUFFIX)sign & mask));                    \
    }                                                                                              \
    CRNN_INLINE vec_##SUFFIX select_below_##SUFFIX(vec_##SUFFIX below, vec_##SUFFIX limit,         \
                                                   vec_##SUFFIX yes, vec_##SUFFIX no) {            \
        bits_##SUFFIX mask = below < limit;                                                        \
        return (vec_##SUFFIX)((mask & (bits_##SUFFIX)yes) | (~mask & (bits_##SUFFIX)no));          \
    }                                                                                              \
    CRNN_INLINE vec_##SUFFIX at_most_##SUFFIX(vec_##SUFFIX v, vec_##SUFFIX limit) {                \
        return select_below_##SUFFIX(limit, v, limit, v);                                          \
    }                                                                                              \
    CRNN_INLINE vec_##SUFFIX at_least_##SUFFIX(vec_##SUFFIX v, vec_##SUFFIX limit) {               \
        return select_below_##SUFFIX(v, limit, limit, v);                                          \
    }

CRNN_DEFINE(f32, float)
CRNN_DEFINE(f64, double)
#endif
#undef CRNN_DEFINE

/* The first n lanes alone, 0 < n < lanes. The others are zero, and their memory is not touched. */
#if defined(__AVX512F__)
CRNN_INLINE vec_f32 load_first_f32(const float *p, ptrdiff_t n) {
    return (vec_f32)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
}
CRNN_INLINE vec_f64 load_first_f64(const double *p, ptrdiff_t n) {
    return (vec_f64)_mm512_maskz_loadu_pd((__mmask8)((1u << n) - 1), p);
}
CRNN_INLINE void store_first_f32(float *p, ptrdiff_t n, vec_f32 v) {
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v);
}
CRNN_INLINE void store_first_f64(double *p, ptrdiff_t n, vec_f64 v) {
    _mm512_mask_storeu_pd(p, (__mmask8)((1u << n) - 1), (__m512d)v);
}
#elif defined(__AVX2__)
CRNN_INLINE vec_f32 load_first_f32(const float *p, ptrdiff_t n) {
    __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return (vec_f32)_mm256_maskload_ps(p, _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), lanes));
}
CRNN_INLINE vec_f64 load_first_f64(const double *p, ptrdiff_t n) {
    __m256i lanes = _mm256_setr_epi64x(0, 1, 2, 3);
    return (vec_f64)_mm256_maskload_pd(p, _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), lanes));
}
/* By halves: some processors take long over a masked store. */
CRNN_INLINE void store_first_f32(float *p, ptrdiff_t n, vec_f32 v) {
    __m128 part = _mm256_castps256_ps128((__m256)v);
    if (n & 4) {
        _mm_storeu_ps(p, part);
        part = _mm256_extractf128_ps((__m256)v, 1);
        p += 4;
    }
    if (n & 2) {
        _mm_storel_pi((__m64 *)p, part);
        part = _mm_movehl_ps(part, part);
        p += 2;
    }
    if (n & 1)
        _mm_store_ss(p, part);
}
CRNN_INLINE void store_first_f64(double *p, ptrdiff_t n, vec_f64 v) {
    __m128d part = _mm256_castpd256_pd128((__m256d)v);
    if (n & 2) {
        _mm_storeu_pd(p, part);
        part = _mm256_extractf128_pd((__m256d)v, 1);
        p += 2;
    }
    if (n & 1)
        _mm_store_sd(p, part);
}
#else
#define CRNN_DEFINE(SUFFIX, REAL)                                                                  \
    CRNN_INLINE vec_##SUFFIX load_first_##SUFFIX(const REAL *p, ptrdiff_t n) {                     \
        vec_##SUFFIX v = {0};                                                                      \
        ptrdiff_t i;                                                                               \
        for (i = 0; i < n; ++i)                                                                    \
            ((REAL *)&v)[i] = p[i];                                                                \
        return v;                                                                                  \
    }                                                                                              \
    CRNN_INLINE void store_first_##SUFFIX(REAL *p, ptrdiff_t n, vec_##SUFFIX v) {                  \
        ptrdiff_t i;                                                                               \
        for (i = 0; i < n; ++i)                                                                    \
            p[i] = ((REAL *)&v)[i];                                                                \
    }

CRNN_DEFINE(f32, float)
CRNN_DEFINE(f64, double)
#undef CRNN_DEFINE
#endif

#else /* one lane: there is no part of a register */

#define CRNN_INLINE static __inline

CRNN_INLINE void prefetch_line(const void *p) { (void)p; }

enum { LANES_F32 = 1, LANES_F64 = 1 };

typedef float vec_f32;
typedef double vec_f64;

#define CRNN_DEFINE(SUFFIX, REAL, INT, EXPONENT_BITS, FABS, COPYSIGN)                              \
    CRNN_INLINE REAL splat_##SUFFIX(REAL x) { return x; }                                          \
    CRNN_INLINE REAL load_##SUFFIX(const REAL *p) { return *p; }                                   \
    CRNN_INLINE void store_##SUFFIX(REAL *p, REAL v) { *p = v; }                                   \
    CRNN_INLINE REAL magnitude_##SUFFIX(REAL v) { return FABS(v); }                                \
    CRNN_INLINE REAL with_sign_of_##SUFFIX(REAL v, REAL sign) { return COPYSIGN(v, sign); }        \
    CRNN_INLINE REAL select_below_##SUFFIX(REAL below, REAL limit, REAL yes, REAL no) {            \
        return below < limit ? yes : no;                                                           \
    }                                                                                              \
    CRNN_INLINE REAL at_most_##SUFFIX(REAL v, REAL limit) { return limit < v ? limit : v; }        \
    CRNN_INLINE REAL at_least_##SUFFIX(REAL v, REAL limit) { return v < limit ? limit : v; }       \
    CRNN_INLINE REAL power_of_two_##SUFFIX(REAL shifted) {                                         \
        INT bits;                                                                                  \
        memcpy(&bits, &shifted, sizeof bits);                                                      \
        bits = (INT)((uint64_t)bits << EXPONENT_BITS);                                             \
        memcpy(&shifted, &bits, sizeof bits);                                                      \
        return shifted;                                                                            \
    }

CRNN_DEFINE(f32, float, int32_t, 23, fabsf, copysignf)
CRNN_DEFINE(f64, double, int64_t, 52, fabs, copysign)
#undef CRNN_DEFINE

CRNN_INLINE float load_first_f32(const float *p, ptrdiff_t n) { return n ? *p : 0; }
CRNN_INLINE double load_first_f64(const double *p, ptrdiff_t n) { return n ? *p : 0; }
CRNN_INLINE void store_first_f32(float *p, ptrdiff_t n, float v) { if (n) *p = v; }
CRNN_INLINE void store_first_f64(double *p, ptrdiff_t n, double v) { if (n) *p = v; }

#endif
#endif
