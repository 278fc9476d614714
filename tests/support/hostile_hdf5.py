"""HDF5 files, written by hand, whose parts are used many times."""

import json
import struct


class File:
    """The content of a file; methods add a part and return its place."""

    def __init__(self):
        self.content = bytearray(96)
        self.content[:8] = b"\x89HDF\r\n\x1a\n"
        self.content[13:15] = b"\x08\x08"

    def add(self, part):
        place = len(self.content)
        self.content += part + bytes(-len(part) % 8)
        return place

    def header(self, *messages):
        body = b"".join(message(kind, part) for kind, part in messages)
        return self.add(struct.pack("<BxHII4x", 1, 1, 1, len(body)) + body)

    def group(self, members, *messages):
        names, entries = bytearray(8), b""
        for name, place in members.items():
            entries += struct.pack("<QQ24x", len(names), place)
            names += name.encode() + b"\0"
        heap = self.add(b"HEAP" + struct.pack("<4xQQQ", len(names), 0, self.add(bytes(names))))
        node = self.add(b"SNOD\1\0" + struct.pack("<H", len(members)) + entries)
        return self.header((0x11, struct.pack("<QQ", node, heap)), *messages)

    def array(self):
        """Floats of shape (2, 8)."""
        space = struct.pack("<BBB5xQQ", 1, 2, 0, 2, 8)
        kind = struct.pack("<BBBBIHHBBBBI", 0x11, 0x20, 31, 0, 4, 0, 32, 23, 8, 0, 23, 127)
        layout = struct.pack("<BBQQ", 3, 1, self.add(bytes(64)), 64)
        return self.header((0x01, space), (0x03, kind), (0x08, layout))

    def texts(self, name, text, count=1):
        """An attribute of so many texts, each of which is the same one."""
        body = struct.pack("<HHIQ", 1, 1, 0, len(text)) + text + bytes(-len(text) % 8) + bytes(16)
        heap = self.add(b"GCOL\1\0\0\0" + struct.pack("<Q", 16 + len(body)) + body)
        named = name.encode() + bytes(8 - len(name) % 8)
        kind = struct.pack("<BBBBI8x", 0x19, 1, 0, 0, 16)
        space = struct.pack("<BBB5xQ", 1, 1, 0, count)
        sizes = struct.pack("<BxHHH", 1, len(named), len(kind), len(space))
        return 0x0C, sizes + named + kind + space + struct.pack("<IQI", len(text), heap, 1) * count

    def whole(self, layers, weights=None):
        """The content, with a group for each layer by name, in the group of weights."""
        configs = [{"name": name, "return_sequences": True} for name in layers]
        described = [{"class_name": "LSTM", "config": config} for config in configs]
        config = {"class_name": "Sequential", "config": {"layers": described}}
        config = self.texts("model_config", json.dumps(config).encode())
        weights = self.group(layers) if weights is None else weights
        root = self.group({"model_weights": weights}, config)
        self.content[64:72] = struct.pack("<Q", root)
        return bytes(self.content)


def message(kind, body):
    body += bytes(-len(body) % 8)
    return struct.pack("<HHB3x", kind, len(body), 0) + body


def of_one_text():
    """A layer that has the same text hundreds of times."""
    file = File()
    return file.whole({"a": file.header(file.texts("weight_names", b"a" * 100_000, 400))})


def of_shared_messages():
    """Layers whose headers go on in the same thousands of messages."""
    file = File()
    empty = b"".join(message(0, b"") for _ in range(15_000))
    further = 0x10, struct.pack("<QQ", file.add(empty), len(empty))
    return file.whole({
        f"a{number}": file.group({"m": file.array()}, file.texts("weight_names", b"m", 2), further)
        for number in range(20)
    })  # fmt: skip


def of_shared_members():
    """Layers that are groups of the same thousands of long names."""
    file = File()
    members = {f"{number}{'a' * 200}": 0 for number in range(8000)}
    first = file.group({"m": file.array(), **members})
    table = 0x11, bytes(file.content[first + 24 : first + 40])
    return file.whole({
        f"a{number}": file.header(table, file.texts("weight_names", b"m", 2))
        for number in range(20)
    })  # fmt: skip
