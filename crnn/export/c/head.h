#ifndef NET_H
#define NET_H

#include <string.h>

#if defined(__FLT_EVAL_METHOD__) && (__FLT_EVAL_METHOD__ < 0 || __FLT_EVAL_METHOD__ > 1)
#error "Sums have to be rounded to their type: on 32-bit x86, compile with -msse2 -mfpmath=sse."
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
