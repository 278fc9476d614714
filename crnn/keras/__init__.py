"""Weights from and to Keras: its SimpleRNN, GRU and LSTM layers as networks of crnn, and back.

Weights are the lists of NumPy arrays that a layer's ``get_weights`` returns and its ``set_weights``
takes, or come from files. Keras itself is never imported.
"""

from crnn.keras.files import load
from crnn.keras.models import from_model
from crnn.keras.weights import from_weights, to_weights

__all__ = ["from_model", "from_weights", "load", "to_weights"]
