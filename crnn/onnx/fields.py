"""How many fields a model has: each takes some hundred bytes in memory, and two in a file."""

import onnx

# A model of a network has some dozens, and some for each layer.
MOST_FIELDS = 100_000
# Further ones are those of larger files: so many bytes a field.
BYTES_A_FIELD = 64
MOST_BYTES_OF_A_NUMBER = 10


def check_fields(content: bytes) -> None:
    """Check that a file is a message of protocol buffers that takes no more memory than its size.

    Parameters
    ----------
    content : bytes

    Raises
    ------
    ValueError
        It is no such message, or has too many fields: it says what it is.
    """
    most = MOST_FIELDS + len(content) // BYTES_A_FIELD
    messages, count = [(onnx.ModelProto.DESCRIPTOR, 0, len(content))], 0
    while messages:
        kind, place, end = messages.pop()
        while place < end:
            tag, place = _number(content, place)
            count += 1
            if count > most:
                raise ValueError(f"more than {most} fields")
            form = tag & 7
            if form == 2:
                size, place = _number(content, place)
                field = kind.fields_by_number.get(tag >> 3)
                if field is not None and field.message_type is not None:
                    messages.append((field.message_type, place, place + size))
                place += size
            elif form in (1, 5):
                place += 8 if form == 1 else 4
            elif form == 0:
                _, place = _number(content, place)
            else:
                raise ValueError(f"a field of form {form}")
        if place > end:
            raise ValueError("a part of a field")


def _number(content: bytes, place: int) -> tuple[int, int]:
    """Return a number of seven bits a byte, and the place after it."""
    number = 0
    for position, byte in enumerate(content[place : place + MOST_BYTES_OF_A_NUMBER]):
        number |= (byte & 127) << 7 * position
        if byte < 128:
            return number, place + position + 1
    raise ValueError("a part of a number")
