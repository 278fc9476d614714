"""Bad input raises one sentence, the same in both implementations, and changes nothing."""

import re

import pytest
import refused_data
import refused_sequences
import refused_settings
import refused_streams
import refused_training
from refusals import Subjects

ROWS = [
    *refused_data.ROWS, *refused_sequences.ROWS, *refused_settings.ROWS, *refused_training.ROWS,
    *refused_streams.ROWS,
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_refusal(row, implementations):
    messages = []
    for implementation in implementations:
        subjects = Subjects(implementation)
        for call in row.calls:
            with pytest.raises(row.kind) as caught:
                call(subjects)
            # Not a subclass, such as UnicodeError or LinAlgError.
            assert caught.type is row.kind
            message = str(caught.value)
            assert re.fullmatch(row.pattern, message), message
            assert "\n" not in message
            messages.append(message.replace(f"implementation={implementation!r}", "..."))
            subjects.assert_unchanged()
    assert len(set(messages)) == 1, messages


def test_names_of_rows_are_different():
    names = [row.name for row in ROWS]
    assert sorted(names) == sorted(set(names))
