/* What simd.h uses of the C library. */
float fabsf(float);
double fabs(double);
float copysignf(float, float);
double copysign(double, double);
