"""How good models are that crnn trains with its defaults."""
