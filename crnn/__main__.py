"""``python -m crnn``: the same commands as ``crnn``."""

from crnn.cli import main

if __name__ == "__main__":
    main()
