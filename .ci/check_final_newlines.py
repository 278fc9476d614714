"""Fail for each text file that does not end with exactly one newline."""

import sys
from pathlib import Path

wrong = [
    name
    for name in sys.argv[1:]
    if (data := Path(name).read_bytes()) and (not data.endswith(b"\n") or data.endswith(b"\n\n"))
]
for name in wrong:
    print(f"{name}: expected one newline at the end")
sys.exit(bool(wrong))
