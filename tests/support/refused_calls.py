"""Checks that a call without arguments is refused as its row says."""

import re

import pytest


def check_refusal(row):
    """Call each call of a `refusals.Refusal`: the exception of that very class, one sentence."""
    for call in row.calls:
        with pytest.raises(row.kind) as caught:
            call()
        # Not a subclass, such as UnicodeError or LinAlgError
        assert caught.type is row.kind
        message = str(caught.value)
        assert re.fullmatch(row.pattern, message), message
        assert "\n" not in message


def refusal_tests(rows):
    """Mark a test that takes each row of a table."""
    names = [row.name for row in rows]
    assert len(set(names)) == len(names)
    return pytest.mark.parametrize("row", rows, ids=names)
