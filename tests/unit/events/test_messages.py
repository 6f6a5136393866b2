from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from support.runs import envelope, started, turn

from evolvent.events.envelope import MAX_DEPTH, check_bytes, is_finite
from evolvent.events.errors import EvolventError, InvalidMessage, PayloadTooLarge
from evolvent.events.messages.commands import Outcome
from evolvent.events.messages.platform import BY_TYPE, PLATFORM_EVENTS, AgentSpawned
from evolvent.events.messages.requests import Request, read_request
from evolvent.events.messages.runs import WorkflowCompleted, read_run_event


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "not a valid"),
        (b"{", "not a valid"),
        (b"[]", "not a valid"),
        (b"{}", "needs a message"),
        (b'{"message": "  "}', "needs a message"),
        (b'{"message": 5}', "message:"),
        (b'{"message": "a", "mesage": "b", "prio": 1}', "mesage: is not a field"),
        (b'{"message": "a\x00"}', "NUL"),
        (b'{"message": "a\\u0000"}', "NUL"),
        (b'{"message": "\\ud800"}', "not a valid"),
        (b'{"message": "a", "context": {"x": NaN}}', "NaN"),
        (b'{"message": "a", "context": {"x": -Infinity}}', "infinite"),
        (b'{"message": "a", "context": {"x": 1e400}}', "infinite"),
        (b'{"message": "a", "context": {"x": ' + b"9" * 299 + b"e99}}", "infinite"),
        (b'{"message": "a", "context": {"x": [' + b"9" * 400 + b".5]}}", "infinite"),
        (b'{"message": "a", "context": ' + b'{"a":' * 70 + b"1" + b"}" * 71, "deeper"),
        (b'{"message": "a", "context": ' + b"[" * 100_000, "deeper"),
        (b'{"message": "a", "run_id": "mine"}', "UUID"),
        (b'{"message": "a", "run_id": ""}', "UUID"),
        (b'{"message": "a", "timeout_seconds": 0}', "timeout_seconds"),
        (b'{"message": "a", "context": {"x": ' + b"1" * 5000 + b"}}", "not JSON"),
    ],
)
def test_a_bad_request_is_refused_with_the_reason(data: bytes, said: str) -> None:
    with pytest.raises(InvalidMessage) as caught:
        read_request(data)
    assert said.lower() in str(caught.value).lower()


def test_a_request_over_its_limit_is_refused() -> None:
    with pytest.raises(PayloadTooLarge):
        read_request(b'{"message": "' + b"x" * 300_000 + b'"}')


def test_a_literal_backslash_before_u0000_is_no_nul() -> None:
    assert read_request(b'{"message": "\\\\u0000"}').message == "\\u0000"


def test_words_like_infinity_in_text_are_welcome() -> None:
    assert read_request(b'{"message": "NaN and Infinity, 1e400, 3e8"}').message.startswith("NaN")


def test_an_event_ignores_fields_that_it_does_not_know() -> None:
    data = json.loads(started().encode()) | {"from_the_future": 1}
    assert read_run_event(json.dumps(data).encode()).type == "workflow_started"


def test_every_event_carries_the_envelope() -> None:
    data = json.loads(WorkflowCompleted(**envelope(), answer="a", turns=(turn(0, text="a"),)).encode())
    assert {"event_id", "run_id", "occurred_at", "schema_version", "source", "type", "attempt", "prev_seq"} <= set(data)
    assert read_run_event(json.dumps(data).encode()).turns[0].reply.text == "a"  # type: ignore[union-attr]


def test_a_writer_cannot_write_what_a_reader_would_refuse() -> None:
    with pytest.raises(ValidationError):
        Request(message="\ud800")
    with pytest.raises(InvalidMessage):
        Request(message="a", context={"x": "\ud800"}).encode()
    with pytest.raises(PayloadTooLarge):
        AgentSpawned(
            **envelope(), agent_id="a", specialty="s", goal="g", spec_hash="h", context={"x": "y" * 10**6}
        ).encode()


def test_platform_events_have_names_of_their_own() -> None:
    assert len(BY_TYPE) == len(PLATFORM_EVENTS) == 19
    assert "pattern_discovered" in BY_TYPE


def test_a_command_refuses_what_it_does_not_know() -> None:
    with pytest.raises(InvalidMessage, match="okay: is not a field"):
        Outcome.decode(b'{"okay": true}')


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
)


@given(st.binary(max_size=400) | JSON.map(lambda v: json.dumps(v).encode(errors="surrogatepass")))
def test_any_bytes_are_a_request_or_a_named_error(data: bytes) -> None:
    try:
        read_request(data)
    except EvolventError as error:
        assert error.info().code


@given(st.integers(1, 120))
def test_depth_is_counted_outside_strings_only(depth: int) -> None:
    data = b'{"a": "' + b"[" * 200 + b'", "b": ' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"
    if depth > MAX_DEPTH:
        with pytest.raises(InvalidMessage):
            check_bytes(data)
    else:
        check_bytes(data)


@given(st.floats())
def test_finite_means_finite_at_any_depth(value: float) -> None:
    expected = value == value and abs(value) != float("inf")
    assert is_finite({"a": [1, {"b": value}]}) is expected
