"""A reader of the HDF5 files that Keras writes: groups, arrays, and attributes that are texts.

HDF5's own library crashes at some damaged files. This reader knows the forms of the HDF5 File
Format Specification that h5py writes unless it is asked for newer ones: superblock 0 or 1, object
headers of version 1, groups as symbol tables, and arrays in one piece. Other forms are refused, and
so are links, compressed arrays and arrays in other files. All places are checked to be in the file.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from crnn import ModelFileError

SIGNATURE = b"\x89HDF\r\n\x1a\n"
# Types of messages in the header of an object
DATASPACE, DATATYPE, EXTERNAL, LAYOUT, FILTERS = 0x01, 0x03, 0x07, 0x08, 0x0B
LINK_INFO, LINK = 0x02, 0x06
ATTRIBUTE, CONTINUATION, SYMBOL_TABLE = 0x0C, 0x10, 0x11
# In an entry of a symbol table
SOFT_LINK = 2
# More than any small model has, of messages, members and texts in all; further ones are those of
# larger files: so many bytes each. A damaged file may hold a circle, and many parts may share one.
MOST_ENTRIES = 20_000
BYTES_AN_ENTRY = 64
LONGEST_NAME = 1000
# Bits of the exponent and the fraction
FLOATS = {2: (5, 10), 4: (8, 23), 8: (11, 52)}


class _Message(NamedTuple):
    kind: int
    flags: int
    start: int
    size: int


class _Type(NamedTuple):
    """A datatype: of floats, of texts of some size, or of texts that lie elsewhere in the file."""

    kind: str
    """ "f", "S" or "text"."""
    size: int
    order: str = "<"


class _Read:
    """What has been read of a file: each part is read once, whatever circles there are."""

    def __init__(self, size: int) -> None:
        self.nodes: dict[int, Node] = {}
        self.texts: dict[int, dict[int, tuple[int, int]]] = {}
        # Bytes of arrays and texts: those of a legacy file are read once for each direction.
        self.left = 2 * size
        self.entries_left = MOST_ENTRIES + size // BYTES_AN_ENTRY

    def take_bytes(self, name: str, size: int) -> None:
        """Count bytes that are copied."""
        self.left -= size
        if self.left < 0:
            raise ModelFileError(f"{name:.200}: expected bytes of its own, got some again")

    def take_entries(self, count: int) -> None:
        """Count messages, members or texts."""
        self.entries_left -= count
        if self.entries_left < 0:
            raise ModelFileError("expected an HDF5 file, got one with parts that lie in each other")


class Node:
    """A group or an array of a file.

    Parameters
    ----------
    content : bytes
        The whole file.
    address : int, optional
        Of the object's header. Default: that of the root.
    read : _Read, optional
        That of the root.
    """

    def __init__(
        self, content: bytes, address: int | None = None, read: _Read | None = None
    ) -> None:
        self._content = content
        self._read = _Read(len(content)) if read is None else read
        self._members: dict[str, int | None] | None = None
        self._messages = list(self._read_messages(self._root() if address is None else address))

    def _part(self, start: int, size: int) -> bytes:
        """Return so many bytes of the file."""
        if not 0 <= start <= start + size <= len(self._content):
            raise ModelFileError("expected an HDF5 file, got one that is damaged or cut off")
        return self._content[start : start + size]

    def _number(self, start: int, size: int) -> int:
        return int.from_bytes(self._part(start, size), "little")

    def _root(self) -> int:
        """Return the address of the root group."""
        if self._part(0, 8) != SIGNATURE:
            raise ModelFileError("expected an HDF5 file, got something else")
        version, sizes = self._number(8, 1), self._part(13, 2)
        if version > 1 or sizes != b"\x08\x08":
            raise ModelFileError(
                "expected an HDF5 file with a superblock of version 0 or 1, as h5py writes it by "
                f"default, got version {version}"
            )
        start = 24 if version == 0 else 28
        if self._number(start, 8):
            raise ModelFileError("expected an HDF5 file that begins at its first byte")
        return self._number(start + 40, 8)

    def _read_messages(self, address: int) -> Iterator[_Message]:
        """Yield the messages of the header of an object."""
        if self._number(address, 1) != 1:
            raise ModelFileError("expected an HDF5 object header of version 1, got another")
        blocks = [(address + 16, self._number(address + 8, 4))]
        while blocks:
            start, size = blocks.pop()
            end = start + size
            self._part(start, size)
            while start + 8 <= end:
                message = _Message(
                    self._number(start, 2), self._number(start + 4, 1), start + 8,
                    self._number(start + 2, 2),
                )  # fmt: skip
                start = message.start + message.size
                self._read.take_entries(1)
                if start > end:
                    raise ModelFileError("expected an HDF5 object header, got a damaged one")
                if message.kind == CONTINUATION:
                    place = message.start
                    blocks.append((self._number(place, 8), self._number(place + 8, 8)))
                else:
                    yield message

    def _message(self, kind: int) -> _Message | None:
        found = [message for message in self._messages if message.kind == kind]
        if not found:
            return None
        if len(found) > 1 or found[0].flags & 2:
            raise ModelFileError("expected an HDF5 object as h5py writes it, got another")
        return found[0]

    def members(self) -> dict[str, int | None]:
        """Return the addresses of the members of a group by name; None: a link. Empty if no group.

        Returns
        -------
        dict
        """
        if self._members is None:
            self._members = self._read_members()
        return self._members

    def _read_members(self) -> dict[str, int | None]:
        message = self._message(SYMBOL_TABLE)
        members: dict[str, int | None] = {}
        if message is None:
            if any(other.kind in (LINK_INFO, LINK) for other in self._messages):
                raise ModelFileError(
                    "expected HDF5 groups in the form that h5py gives them for ASCII names, "
                    "got another"
                )
            return members
        tree, heap = self._number(message.start, 8), self._number(message.start + 8, 8)
        if self._part(heap, 4) != b"HEAP":
            raise ModelFileError("expected the names of an HDF5 group, got something else")
        names = self._number(heap + 24, 8)
        nodes = [tree]
        while nodes:
            node = nodes.pop()
            mark = self._part(node, 4)
            is_tree = mark == b"TREE"
            if not is_tree and mark != b"SNOD":
                raise ModelFileError("expected the table of an HDF5 group, got something else")
            used = self._number(node + 6, 2)
            self._read.take_entries(1 + used)
            for number in range(used):
                if is_tree:
                    # Between two keys each
                    nodes.append(self._number(node + 32 + 16 * number, 8))
                    continue
                entry = node + 8 + 40 * number
                name = self._text(names + self._number(entry, 8))
                is_link = self._number(entry + 16, 4) == SOFT_LINK
                members[name] = None if is_link else self._number(entry + 8, 8)
        return members

    def _text(self, start: int) -> str:
        """Return the text that ends with the next zero byte."""
        end = self._content.find(b"\0", start, start + LONGEST_NAME) if start >= 0 else -1
        if end < 0:
            raise ModelFileError(f"expected an HDF5 name of at most {LONGEST_NAME} bytes")
        return self._content[start:end].decode()

    def get(self, path: str) -> "Node | None":
        """Return the object at a path below this group, or None.

        Parameters
        ----------
        path : str

        Returns
        -------
        Node or None

        Raises
        ------
        ModelFileError
            There is a link on the way.
        """
        node = self
        for name in filter(None, path.split("/")):
            members = node.members()
            if name not in members:
                return None
            address = members[name]
            if address is None:
                raise ModelFileError(f"{path:.200}: expected what is in the file, got a link")
            nodes = self._read.nodes
            if address not in nodes:
                nodes[address] = Node(self._content, address, self._read)
            node = nodes[address]
        return node

    def attribute(self, name: str) -> list[str] | None:
        """Return the texts of an attribute: one, or those of a list; None if there is none.

        Parameters
        ----------
        name : str

        Returns
        -------
        list of str or None

        Raises
        ------
        ModelFileError
            It holds something else.
        """
        for message in self._messages:
            if message.kind != ATTRIBUTE or message.flags & 2:
                continue
            start = message.start
            version, flags = self._number(start, 1), self._number(start + 1, 1)
            sizes = [self._number(start + 2 + 2 * part, 2) for part in range(3)]
            place = start + (9 if version == 3 else 8)
            places = []
            for size in sizes:
                places.append(place)
                place += size if version > 1 else -(-size // 8) * 8
            if self._part(places[0], sizes[0]).rstrip(b"\0").decode() != name:
                continue
            if version > 3 or (version > 1 and flags):
                raise ModelFileError(f"{name}: expected an HDF5 attribute as h5py writes it")
            kind, shape = self._type(places[1]), self._shape(places[2])
            count = _product(shape)
            if not count:
                return []
            end = message.start + message.size
            if kind.kind == "f" or place + count * kind.size > end:
                raise ModelFileError(f"{name}: expected texts, got something else")
            return [self._element(name, kind, place + n * kind.size) for n in range(count)]
        return None

    def _element(self, name: str, kind: _Type, place: int) -> str:
        """Return a text of an attribute."""
        if kind.kind == "S":
            self._read.take_bytes(name, kind.size)
            return self._part(place, kind.size).rstrip(b"\0").decode()
        length, heap, wanted = (
            self._number(place, 4), self._number(place + 4, 8), self._number(place + 12, 4)
        )  # fmt: skip
        texts = self._read.texts
        if heap not in texts:
            texts[heap] = dict(self._heap(heap))
        start, size = texts[heap].get(wanted, (0, -1))
        if length > size:
            raise ModelFileError("expected a text of an HDF5 file, got none")
        self._read.take_bytes(name, length)
        return self._part(start, length).rstrip(b"\0").decode()

    def _heap(self, heap: int) -> Iterator[tuple[int, tuple[int, int]]]:
        """Yield number, place and size of each text of a collection."""
        if self._part(heap, 4) != b"GCOL":
            raise ModelFileError("expected the texts of an HDF5 file, got something else")
        end, start = heap + self._number(heap + 8, 8), heap + 16
        while start + 16 <= end:
            self._read.take_entries(1)
            index, size = self._number(start, 2), self._number(start + 8, 8)
            if not index:
                break
            yield index, (start + 16, size)
            start += 16 + -(-size // 8) * 8

    def _shape(self, start: int) -> tuple[int, ...]:
        """Return the sizes in a dataspace."""
        version, rank = self._number(start, 1), self._number(start + 1, 1)
        if version not in (1, 2) or rank > 4:
            raise ModelFileError("expected an HDF5 dataspace of at most 4 axes, got another")
        if version == 2 and self._number(start + 3, 1) == 2:
            return (0,)
        first = start + (8 if version == 1 else 4)
        return tuple(self._number(first + 8 * axis, 8) for axis in range(rank))

    def _type(self, start: int) -> _Type:
        """Return a datatype."""
        kind, bits, size = (
            self._number(start, 1) & 15, self._number(start + 1, 1), self._number(start + 4, 4)
        )  # fmt: skip
        if kind == 1 and size in FLOATS and not bits & 0x40:
            exponent, fraction = self._number(start + 13, 1), self._number(start + 15, 1)
            if (exponent, fraction) == FLOATS[size]:
                return _Type("f", size, ">" if bits & 1 else "<")
        if kind == 3 and size:
            return _Type("S", size)
        if kind == 9 and bits & 15 == 1 and size == 16:
            return _Type("text", size)
        raise ModelFileError("expected floats of 16 to 64 bits, or texts, in an HDF5 file")

    def array(self, name: str) -> npt.NDArray[Any]:
        """Return the numbers of an array.

        Parameters
        ----------
        name : str
            For errors.

        Returns
        -------
        array

        Raises
        ------
        ModelFileError
            They are no floats, or not in one piece in the file.
        """
        space, datatype, layout = map(self._message, (DATASPACE, DATATYPE, LAYOUT))
        if space is None or datatype is None or layout is None:
            raise ModelFileError(f"{name:.200}: expected an array, got something else")
        kind, shape = self._type(datatype.start), self._shape(space.start)
        version, form = self._number(layout.start, 1), self._number(layout.start + 1, 1)
        elsewhere = self._message(EXTERNAL) or self._message(FILTERS)
        if kind.kind != "f" or version not in (3, 4) or form not in (0, 1) or elsewhere:
            raise ModelFileError(
                f"{name:.200}: expected uncompressed floats in the file itself, got others"
            )
        if form == 1:
            start, size = self._number(layout.start + 2, 8), self._number(layout.start + 10, 8)
        else:
            start, size = layout.start + 4, self._number(layout.start + 2, 2)
        if size != _product(shape) * kind.size:
            raise ModelFileError(f"{name:.200}: expected {shape} floats, got {size} bytes")
        numbers = self._part(start, size)
        self._read.take_bytes(name, size)
        values = np.frombuffer(numbers, f"{kind.order}f{kind.size}")
        return values.astype(f"f{kind.size}").reshape(shape)


def _product(shape: tuple[int, ...]) -> int:
    product = 1
    for size in shape:
        product *= size
    return product
