/* What the processor and the operating system support, asked once at import. */
#ifndef CRNN_CPU_H
#define CRNN_CPU_H

#if defined(__x86_64__) && defined(__GNUC__)
#include <cpuid.h>

static int cpu_supports_avx2(void) {
    __builtin_cpu_init();
    unsigned int a, b, c, d;
    /* LZCNT runs as another instruction where it is missing, so the compiler's use of it would
       go unnoticed. It is bit 5 of this leaf, and GCC has no name for it. */
    if (!__get_cpuid(0x80000001, &a, &b, &c, &d) || !(c & 1 << 5))
        return 0;
    /* MOVBE and F16C, bits 22 and 29: the rest of what x86-64-v3 adds. */
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & 1 << 22) || !(c & 1 << 29))
        return 0;
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
           __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
}

static int cpu_supports_avx512(void) {
    return cpu_supports_avx2() && __builtin_cpu_supports("avx512f") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

#elif defined(_M_X64)
#include <immintrin.h>
#include <intrin.h>

/* The bits of CPUID leaf 7, register EBX, if the operating system saves the registers `saved`
   (bits of XCR0) and FMA is there; else none. */
static int cpu_leaf_7(unsigned long long saved) {
    int registers[4];
    __cpuid(registers, 1);
    if (!(registers[2] & (1 << 27)) || !(registers[2] & (1 << 12)) || (_xgetbv(0) & saved) != saved)
        return 0;
    __cpuidex(registers, 7, 0);
    return registers[1];
}

static int cpu_supports_avx2(void) {
    int wanted = 1 << 3 | 1 << 5 | 1 << 8; /* BMI, AVX2, BMI2 */
    return (cpu_leaf_7(0x6) & wanted) == wanted;
}

static int cpu_supports_avx512(void) {
    unsigned int wanted = 1u << 16 | 1u << 17 | 1u << 28 | 1u << 30 | 1u << 31; /* F DQ CD BW VL */
    return cpu_supports_avx2() && ((unsigned int)cpu_leaf_7(0xe6) & wanted) == wanted;
}

#else

static int cpu_supports_avx2(void) { return 0; }
static int cpu_supports_avx512(void) { return 0; }

#endif
#endif
