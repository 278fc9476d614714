"""How far results may be from what is expected."""

# Largest error, as a share of the largest expected magnitude in an array: about 256 times the unit
# roundoff of each dtype. Sums of up to 70 x 70 products, passed through up to 70 steps of tanh,
# stay well below; a missing or misplaced term is orders of magnitude above.
TOLERANCES = {"float32": 3e-5, "float64": 6e-14}
