/* What simd.h uses of the C library. */
#include <stddef.h>
void *memcpy(void *, const void *, size_t);
