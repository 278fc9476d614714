#ifndef NET_H
#define NET_H

#include <string.h>

/* Method 16 widens other types only. */
#if defined(__FLT_EVAL_METHOD__) && __FLT_EVAL_METHOD__ != 16
#if __FLT_EVAL_METHOD__ < 0 || __FLT_EVAL_METHOD__ >= WIDER
#error "Sums are rounded late: use -fexcess-precision=fast (s390x) or -mfpmath=sse (32-bit x86)."
#endif
#endif

/* Clang contracts a product and a sum of one expression by default. GCC knows no such pragma. */
#if defined(__clang__)
#define NET_EXACT _Pragma("STDC FP_CONTRACT OFF")
#else
#define NET_EXACT
#endif

#if defined(__GNUC__) && defined(__AVX__)
#define NET_ALIGNED __attribute__((aligned(64)))
#elif defined(__GNUC__)
#define NET_ALIGNED __attribute__((aligned(16)))
#else
#define NET_ALIGNED
#endif

#ifdef __cplusplus
extern "C" {
#endif
