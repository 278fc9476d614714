/* intrin.h of the compiler includes it and uses this type alone. */
typedef long long jmp_buf[32];
