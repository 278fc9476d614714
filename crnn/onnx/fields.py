"""How many fields a model has: each takes some hundred bytes in memory, and two in a file."""

from typing import Any

import onnx

# A model of a network has some dozens, and some for each layer.
MOST_FIELDS = 100_000
# Further ones are those of larger files: so many bytes a field.
BYTES_A_FIELD = 64
# In a list a whole number takes a byte in a file, and eight or more in memory. Weights are floats.
MOST_BYTES_OF_LISTS = 1 << 20
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
    messages, count, in_lists = [(onnx.ModelProto.DESCRIPTOR, 0, len(content))], 0, 0
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
                elif field is not None and _is_list_of_whole_numbers(field):
                    in_lists += size
                    if in_lists > MOST_BYTES_OF_LISTS:
                        raise ValueError("lists of millions of whole numbers")
                place += size
            elif form in (1, 5):
                place += 8 if form == 1 else 4
            elif form == 0:
                _, place = _number(content, place)
            else:
                raise ValueError(f"a field of form {form}")
        if place > end:
            raise ValueError("a part of a field")


def _is_list_of_whole_numbers(field: Any) -> bool:
    """Return whether a field of form 2 that is no message is such a list: no text, no floats."""
    others = (field.CPPTYPE_STRING, field.CPPTYPE_FLOAT, field.CPPTYPE_DOUBLE)
    return field.cpp_type not in others


def _number(content: bytes, place: int) -> tuple[int, int]:
    """Return a number of seven bits a byte, and the place after it."""
    number = 0
    for position, byte in enumerate(content[place : place + MOST_BYTES_OF_A_NUMBER]):
        number |= (byte & 127) << 7 * position
        if byte < 128:
            return number, place + position + 1
    raise ValueError("a part of a number")
