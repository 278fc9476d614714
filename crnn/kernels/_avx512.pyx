"""The typed loops for x86-64-v4: AVX-512."""
include "loops/loops.pxi"
