"""What a journal may hold of foreign values and foreign errors."""

from __future__ import annotations

import base64
import json
import math
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from evolvent.orchestrator.tools.plain import plain_json
from evolvent.orchestrator.tools.refusals import BadResult
from evolvent.orchestrator.tools.scrub import Scrubber


@dataclass
class Point:
    x: int


class Row(BaseModel):
    name: str


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        ((1, 2), [1, 2]),
        ({1: {Point(1).x}}, {"1": [1]}),
        (Point(3), {"x": 3}),
        (Row(name="a\0b\ud800"), {"name": "a\ufffdb\ufffd"}),
        ("a\ud83d\ude00", "a😀"),
        ({"\ud800": ["\0"]}, {"\ufffd": ["\ufffd"]}),
        ("\\u0000", "\\u0000"),
        (10**30, 10**30),
        (b"\0ab", "\ufffdab"),
        (None, None),
    ],
)
def test_values_become_plain_json(value: object, plain: object) -> None:
    assert plain_json(value).value == plain


def deeply(levels: int) -> Any:
    value: Any = "leaf"
    for level in range(levels):
        value = [value] if level % 2 else {"k": value}
    return value


@pytest.mark.parametrize(
    "value", [math.nan, [math.inf], object(), b"\xff", iter([1]), deeply(65), deeply(5000), {"a": {object(): 1}}]
)
def test_values_without_a_plain_form_are_refused(value: object) -> None:
    with pytest.raises(BadResult, match="The value"):
        plain_json(value)


def test_depth_is_counted_exactly_and_circles_are_found() -> None:
    circle: list[Any] = []
    circle.append(circle)
    assert plain_json([deeply(63)] * 100).value[99] == deeply(63)
    for value in (deeply(65), [deeply(64)] * 100, circle, [circle, "\ud800"]):
        with pytest.raises(BadResult):
            plain_json(value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec=None)), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=300, deadline=None)
@given(value=JSON)
def test_what_is_kept_survives_the_journal_unchanged(value: object) -> None:
    try:
        plain = plain_json(value)
    except BadResult as error:
        assert "inf" in repr(value), error
        return
    assert json.loads(plain.data) == plain.value
    assert plain_json(plain.value) == type(plain)(plain.value, plain.data)
    assert "\\u0000" not in plain.data.decode().replace("\\\\", "")


SECRETS = [
    "hunter2-known",
    'quo"te\\d-known',
    "sk-proj-abcdefghijkl0123",
    "ghp_abcdefghijklmnop0123",
    "AKIAABCDEFGHIJKLMNOP",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
    "SUAM" + "A2" * 27,
]


@pytest.mark.parametrize("secret", SECRETS)
def test_secrets_do_not_stay_in_errors_in_any_spelling(secret: str) -> None:
    known = [secret] if "known" in secret else []
    scrub = Scrubber(known)
    texts = [
        f"bad {secret} here",
        f"x={json.dumps(secret)}",
        f"Authorization: Bearer {secret}",
        f"a://u:{quote(secret)}@h",
    ]
    if known:
        texts += [base64.b64encode(secret.encode()).decode(), quote(secret, safe=""), "y" * 495 + secret]
    for text in texts:
        said = scrub(text)
        assert secret not in said
        assert len(said) <= 500
        assert not any(secret[start : start + 8] in said for start in range(len(secret) - 7)), said


def test_ordinary_text_is_left_alone() -> None:
    text = "KeyError: 'order_1' is missing; 3 tokens used by task sk at 10:20, see https://example.org/a?b=1"
    assert Scrubber()(text) == text
