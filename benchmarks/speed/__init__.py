"""How long crnn and other libraries take for the same work."""
