"""The typed loops for any processor of the architecture."""
include "loops/loops.pxi"
