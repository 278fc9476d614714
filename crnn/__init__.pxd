# What Cython code may cimport from crnn.
from crnn.kernels.native cimport Learner, Stream, Trainer
