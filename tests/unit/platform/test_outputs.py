"""What came out of a run, as a person reads it."""

from __future__ import annotations

import pytest

from evolvent.platform.cli.outputs import readable


@pytest.mark.parametrize(
    ("output", "text"),
    [
        ("as it is\n", "as it is\n"),
        ({"total": 600.0, "names": ["a", "b"]}, "total: 600.0\nnames:\n- a\n- b"),
        ({"report": "one\ntwo"}, "report: |-\n  one\n  two"),
        ({"a": (one := {"x": 1}), "b": one}, "a:\n  x: 1\nb:\n  x: 1"),
        ({"name": "Größe"}, "name: Größe"),
        (None, "(It ended well, and has no output.)"),
    ],
)
def test_outputs_are_told_as_names_and_values(output: object, text: str) -> None:
    assert readable(output) == text
