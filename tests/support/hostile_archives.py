"""Files of `crnn.archive`, mutated by their parts and packed again with the right checksums.

A mutation of the bytes alone seldom passes the checksums of the archive and of its arrays.
"""

import hashlib
import io
import json
import re
import struct
import zipfile
import zlib
from functools import lru_cache

import numpy as np
from damaged_files import npy

MAX_BYTES = 1 << 15
NUMBERS = (
    *(0, 1, 2, 3, 7, -1, 63, 64, 1000, 1001, 65535, 65536, 2**20 - 1, 2**20, 2**31 - 1, 2**31),
    *(2**32, 2**53, 2**63 - 1, 2**63, 2**64, 10**19, 10**400, -(10**400)),
    *(0.0, -0.0, 0.5, 1.0, 1.5, -1.5, 5e-324, 1e308, float("nan"), float("inf"), -float("inf")),
)
TEXTS = ("", "x", "lstm", "rnn", "gru", "tanh", "float32", "O", "\ud800", "\0", "\n", "é" * 300)
VALUES = (None, True, False, [], {}, [[]], [{}], *NUMBERS, *TEXTS)
# How often one thing is done before the file is packed
MOST_CHANGES = 4
MOST_ELEMENTS = 4
HEADERS = (
    (rb"\(\d*,?\)", (b"()", b"(0,)", b"(1, 1)", b"(-1,)", b"(4294967296, 4294967296)", b"(1e9,)")),
    (rb"'<[fui]\d'|'\|u1'", (b"'|O'", b"'<U99'", b"'>f4'", b"[('a', '<f4')]", b"'<f8'", b"'|V0'")),
    (rb"False", (b"True", b"None", b"0")),
    (rb"\{.*\}", (b"{}", b"[" * 200, b"{'descr': 1, 'fortran_order': 2, 'shape': 3}", b"-" * 90)),
)


def body(member):
    """Where the numbers of an .npy begin."""
    return 10 + int.from_bytes(member[8:10], "little")


@lru_cache(maxsize=1000)
def unpacked(data):
    """The members of an archive by name in order."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return tuple((info.filename, archive.read(info.filename)) for info in archive.infolist())


def packed(members):
    """The bytes of an archive of these members, which takes `zipfile` many times as long."""
    places, entries, position = [], [], 0
    for name, member in members:
        encoded_name = name.encode("utf-8", "surrogatepass")
        size, is_unicode = len(member), 0 if name.isascii() else 1 << 11
        fields = struct.pack(
            "<HHHHHIIIHH", 20, is_unicode, 0, 0, 33, zlib.crc32(member), size, size,
            len(encoded_name), 0,
        )  # fmt: skip
        places += [b"PK\x03\x04", fields, encoded_name, member]
        entries += [b"PK\x01\x02\x14\x03", fields]
        entries += [struct.pack("<HHHII", 0, 0, 0, 0, position), encoded_name]
        position += 30 + len(encoded_name) + size
    directory = b"".join(entries)
    end = struct.pack("<HHHHIIH", 0, 0, len(members), len(members), len(directory), position, 0)
    return b"".join((*places, directory, b"PK\x05\x06", end))


def encoded(value):
    """JSON as an array of bytes, in an .npy."""
    return npy(np.frombuffer(json.dumps(value).encode(), np.uint8))


def decoded(member):
    """The JSON in such an .npy."""
    return json.loads(member[body(member) :])


def checksummed(members):
    """The members with the checksums of their bytes, and for a panel their sizes."""
    members = dict(members)
    description = decoded(members["crnn.npy"])
    bodies = {name.removesuffix(".npy"): m[body(m) :] for name, m in members.items()}
    own = bodies.pop("crnn")
    del own
    if "description_bytes" in description and {"descriptions", "arrays"} <= set(bodies):
        description["description_bytes"] = len(bodies["descriptions"])
        description["array_bytes"] = len(bodies["arrays"])
    description["sha256"] = {n: hashlib.sha256(b).hexdigest() for n, b in bodies.items()}
    members["crnn.npy"] = encoded(description)
    return members


def mutated_json(value, rng):
    """A value of JSON with one of its parts changed: the value itself is changed."""
    places = []

    def walk(parent):
        if isinstance(parent, dict):
            items = list(parent.items())
        else:
            # Some elements alone: of 600 numbers each is as good as another.
            items = rng.sample(list(enumerate(parent)), min(len(parent), MOST_ELEMENTS))
        for key, child in items:
            places.append((parent, key))
            if isinstance(child, (dict, list)):
                walk(child)

    walk(value)
    if not places:
        return value
    parent, key = rng.choice(places)
    kind = rng.random()
    if kind < 0.45:
        parent[key] = rng.choice(VALUES)
    elif kind < 0.65 and isinstance(parent[key], (int, float)):
        number = parent[key]
        parent[key] = rng.choice((number + 1, number - 1, -number, 2 * number, float(number)))
    elif kind < 0.75:
        del parent[key]
    elif kind < 0.85:
        other, place = rng.choice(places)
        if isinstance(place, str) or place < len(other):
            parent[key] = json.loads(json.dumps(other.get(place) if isinstance(other, dict)
                                                else other[place]))  # fmt: skip
    elif isinstance(parent, list):
        parent.insert(key, rng.choice(VALUES))
    elif isinstance(parent[key], list):
        parent[key] = parent[key] * rng.choice((2, 3, 50))
    else:
        parent[rng.choice(TEXTS)] = rng.choice(VALUES)
    return value


def mutated_archive(data, rng, raw, shapes_of=None):
    """A file changed by its parts.

    `raw` mutates bytes; `shapes_of` is the reader's own function from a description to the arrays
    that belong to it: after a change of the description, arrays are made that fit it.
    """
    if rng.random() < 0.2:
        return raw(data)
    try:
        members = unpacked(data)
        description = decoded(dict(members)["crnn.npy"])
    except Exception:  # what an earlier mutation made no archive of JSON
        return raw(data)
    for _ in range(rng.randint(1, MOST_CHANGES)):
        members = _changed(members, rng, raw)
    try:
        description = decoded(dict(members)["crnn.npy"])
    except Exception:
        return packed(members)
    if shapes_of and rng.random() < 0.6:
        members = _fitted(members, description, shapes_of, rng)
    if rng.random() < 0.9:
        try:
            members = list(checksummed(members).items())
        except Exception:  # the description is no object, or a member no .npy
            return packed(members)
    return packed(members)


def _changed(members, rng, raw):
    """The members with one of them changed."""
    members = list(members)
    place = rng.randrange(len(members))
    name, member = members[place]
    kind = rng.random()
    is_json = name in ("crnn.npy", "descriptions.npy")
    if not is_json and kind < 0.5:
        texts = [i for i, (n, _) in enumerate(members) if n in ("crnn.npy", "descriptions.npy")]
        if texts:
            place = rng.choice(texts)
            name, member = members[place]
            is_json = True
    start = body(member) if len(member) > 10 else 0
    if is_json and kind < 0.8:
        try:
            member = encoded(mutated_json(decoded(member), rng))
        except Exception:  # an earlier mutation made it no JSON
            member = raw(member)
    elif kind < 0.86:
        pattern, choices = rng.choice(HEADERS)
        member = re.sub(pattern, lambda _: rng.choice(choices), member[:start]) + member[start:]
    elif kind < 0.94:
        member = member[:start] + raw(member[start:] or b"0")
    elif kind < 0.96 and len(members) > 1:
        del members[place]
        return members
    elif kind < 0.98:
        members.insert(rng.randrange(len(members) + 1), (name + rng.choice(("", "x")), member))
        return members
    else:
        name = rng.choice(("", "crnn.npy", "../x.npy", "parameters.npy", "\u2028.npy"))
    members[place] = (name, member)
    return members


def _fitted(members, description, shapes_of, rng):
    """The members with arrays of the shapes that the description asks for, if they are small."""
    try:
        shapes = shapes_of(description)
        sizes = {n: int(np.prod(shape)) * dtype.itemsize for n, (dtype, shape) in shapes.items()}
    except Exception:  # the reader refuses the description
        return members
    if sum(sizes.values()) > MAX_BYTES or any(size < 0 for size in sizes.values()):
        return members
    old = dict(members)
    fitted = [("crnn.npy", old["crnn.npy"])]
    for name, (dtype, shape) in shapes.items():
        member = old.get(f"{name}.npy", b"")
        start = body(member) if len(member) > 10 else 0
        numbers = (member[start:] or rng.randbytes(8)) * (sizes[name] // 8 + 1)
        try:
            array = np.frombuffer(numbers[: sizes[name]], dtype).reshape(shape)
        except ValueError:  # more axes or elements than NumPy has
            return members
        fitted.append((f"{name}.npy", npy(array)))
    return fitted
