"""The typed loops for x86-64-v3: AVX2 and FMA."""
include "loops/loops.pxi"
