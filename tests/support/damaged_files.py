"""Files packed anew with changes, and mutated at random."""

import io
import json
import zipfile

import numpy as np


def npy(array):
    file = io.BytesIO()
    np.lib.format.write_array(file, array, version=(1, 0), allow_pickle=True)
    return file.getvalue()


def rewritten(data, *, drop=(), add=(), compression=zipfile.ZIP_STORED, **changes):
    """The file packed anew, with changes of its description and other members."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", compression) as new:
        for name in old.namelist():
            member = old.read(name)
            if name == "crnn.npy":
                description = json.loads(np.load(io.BytesIO(member)).tobytes()) | changes
                member = npy(np.frombuffer(json.dumps(description).encode(), np.uint8))
            if name not in drop:
                new.writestr(name, member)
        for name, member in add:
            new.writestr(name, member)
    return out.getvalue()


def mutations(data, count, seed):
    """Bytes changed, runs overwritten, cut out, inserted and copied, at random."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        changed = bytearray(data)
        at, length = int(rng.integers(len(data))), int(rng.integers(1, 40))
        kind = number % 6
        if kind == 0:
            changed[at] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            changed[at] = int(rng.integers(256))
        elif kind == 2:
            changed[at : at + length] = rng.bytes(length)
        elif kind == 3:
            del changed[at : at + length]
        elif kind == 4:
            changed[at:at] = rng.bytes(length)
        else:
            source = int(rng.integers(len(data)))
            changed[at : at + length] = data[source : source + length]
        yield bytes(changed)
