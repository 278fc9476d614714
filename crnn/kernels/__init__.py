"""The arithmetic: functions on arrays, in NumPy (`reference`) and compiled (`native`)."""
