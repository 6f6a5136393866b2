"""Reading answers of servers that are nearly compatible, whole and in pieces."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolvent.events.language.conversation import ChatMessage, ModelReply, ToolCall
from evolvent.orchestrator.llm.errors import ModelBadResponse
from evolvent.orchestrator.llm.stream import EventLines, ReplyFold
from evolvent.orchestrator.llm.wire import ReplyLimits, clean, prompt_json, read_arguments, read_whole, retry_after


def read(message: Any, **payload: Any) -> ModelReply:
    body = json.dumps({"choices": [{"message": message, "finish_reason": "stop"}], **payload}).encode()
    return read_whole(body, prompt_bytes=40, asked_model="asked", limits=ReplyLimits(tool_calls=3, text_chars=1000))


def call(arguments: Any = "{}", **more: Any) -> dict[str, Any]:
    return {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}, **more}


def fold(*chunks: dict[str, Any], max_tokens: int = 100) -> ReplyFold:
    folded = ReplyFold(max_tokens=max_tokens, limits=ReplyLimits(tool_calls=3, text_chars=1000))
    for chunk in chunks:
        folded.add(json.dumps(chunk))
    return folded


def delta(**members: Any) -> dict[str, Any]:
    return {"choices": [{"delta": members}]}


def test_what_a_sparse_reply_leaves_out_is_filled_in() -> None:
    reply = read({"content": "hi"})
    assert (reply.text, reply.model, reply.scripted) == ("hi", "asked", False)
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens, reply.usage.estimated) == (10, 1, True)


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_tokens": -1, "completion_tokens": 1},
        {"prompt_tokens": 10**30, "completion_tokens": 1},
        {"prompt_tokens": True, "completion_tokens": 1},
        {"prompt_tokens": "5", "completion_tokens": 1},
        {"prompt_tokens": 5},
        [],
        "none",
    ],
)
def test_a_usage_that_cannot_be_true_is_estimated_instead(usage: Any) -> None:
    assert read({"content": "hi"}, usage=usage).usage.estimated


def test_cached_tokens_never_exceed_the_prompt() -> None:
    details = {"cached_tokens": 99}
    usage = {"prompt_tokens": 9, "completion_tokens": 1, "prompt_tokens_details": details}
    assert read({"content": "hi"}, usage=usage).usage.cached_tokens == 9


def test_text_in_parts_and_refusals_are_text() -> None:
    assert read({"content": [{"type": "text", "text": "a"}, {"type": "image"}, {"text": "b"}]}).text == "ab"
    assert read({"content": None, "refusal": "I will not."}).text == "I will not."
    assert read({"content": None}).text is None


def test_call_ids_differ_within_a_turn_even_where_the_server_repeats_or_omits_them() -> None:
    reply = read({"tool_calls": [call(), call(), call(id=None)]})
    assert len({each.call_id for each in reply.tool_calls}) == 3


def test_arguments_may_come_as_an_object_or_not_at_all() -> None:
    reply = read({"tool_calls": [call({"a": 1}), call(None), call("")]})
    assert [each.arguments for each in reply.tool_calls] == [{"a": 1}, {}, {}]


@pytest.mark.parametrize(
    "raw",
    [
        "[1]",
        "3",
        "null",
        '"x"',
        '{"a": NaN}',
        '{"a": 1e999}',
        '{"a": -Infinity}',
        "{",
        "{'a': 1}",
        '{"a":' * 300 + "1" + "}" * 300,
        "[" * 100_000,
        "é{",
    ],
)
def test_arguments_that_are_no_object_of_finite_numbers_are_kept_as_text_only(raw: str) -> None:
    read_call = read({"tool_calls": [call(raw)]}).tool_calls[0]
    assert read_call.arguments is None
    assert read_call.raw_arguments == raw
    ModelReply.model_validate_json(ModelReply(tool_calls=(read_call,)).model_dump_json())


@given(st.text())
def test_cleaned_text_can_be_stored_anywhere_and_clean_text_is_untouched(text: str) -> None:
    cleaned = clean(text)
    cleaned.encode()
    assert "\x00" not in cleaned
    assert clean(cleaned) == cleaned


def test_nul_and_lone_surrogates_are_replaced_inside_arguments_too() -> None:
    assert clean("a\x00b\ud800c\U0001f600") == "a\ufffdb\ufffdc\U0001f600"
    assert read_arguments('{"k\\u0000": ["\\ud83d", "\\ud83d\\ude00"]}') == {"k\ufffd": ["\ufffd", "\U0001f600"]}


@given(st.text())
def test_broken_arguments_of_the_past_go_back_as_json_within_a_known_size(raw: str) -> None:
    past = ToolCall(call_id="c", name="f", raw_arguments=clean(raw))
    message = ChatMessage(role="assistant", tool_calls=(past,))
    sent = json.loads(b"{" + prompt_json((message,), ()) + b"}")["messages"][0]["tool_calls"][0]["function"]
    assert set(json.loads(sent["arguments"])) == {"invalid_arguments"}
    assert len(sent["arguments"].encode()) <= 2 * len(clean(raw).encode()) + 32


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"3",
        b"{}",
        b'{"choices": []}',
        b'{"choices": null}',
        b'{"choices": [null]}',
        b'{"choices": [{}]}',
        b'{"choices": [{"message": "x"}]}',
        b"[" * 100_000,
        b"\xff\xfe",
    ],
)
def test_an_answer_without_an_answer_is_an_error(body: bytes) -> None:
    with pytest.raises(ModelBadResponse):
        read_whole(body, prompt_bytes=1, asked_model="m", limits=ReplyLimits())


def test_an_error_inside_a_good_status_is_quoted() -> None:
    body = b'{"error": {"message": "upstream is full", "code": 502}}'
    with pytest.raises(ModelBadResponse, match="upstream is full"):
        read_whole(body, prompt_bytes=1, asked_model="m", limits=ReplyLimits())
    with pytest.raises(ModelBadResponse, match="upstream is full"):
        fold(json.loads(body))


def test_too_many_calls_and_too_much_text_are_refused() -> None:
    for message in ({"tool_calls": [call()] * 4}, {"content": "x" * 1001}):
        with pytest.raises(ModelBadResponse):
            read(message)
    with pytest.raises(ModelBadResponse, match="tool calls"):
        fold(*(delta(tool_calls=[{"index": n, "function": {"name": "f"}}]) for n in range(4)))
    with pytest.raises(ModelBadResponse, match="longer"):
        fold(delta(content="x" * 600), delta(content="x" * 600))


def test_a_stream_of_more_chunks_than_tokens_were_allowed_is_cut() -> None:
    with pytest.raises(ModelBadResponse, match="output cap"):
        fold(*[delta(content="")] * 100, max_tokens=10)


def test_a_streamed_reply_is_put_together_from_its_pieces() -> None:
    folded = fold(
        delta(role="assistant", content="Hel"),
        delta(content="lo"),
        delta(tool_calls=[{"index": 0, "id": "a", "function": {"name": "f", "arguments": '{"x"'}}]),
        delta(tool_calls=[{"index": 1, "id": "b", "function": {"name": "g", "arguments": "{}"}}]),
        delta(tool_calls=[{"index": 0, "function": {"arguments": ": 1}"}}]),
        {"choices": [{"delta": {}, "finish_reason": "tool_calls"}]},
        {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3}, "system_fingerprint": "scripted"},
    )
    reply = folded.reply(prompt_bytes=1, asked_model="m")
    assert folded.finished
    assert (reply.text, reply.finish_reason, reply.scripted) == ("Hello", "tool_calls", True)
    assert [(c.call_id, c.name, c.arguments) for c in reply.tool_calls] == [("a", "f", {"x": 1}), ("b", "g", {})]
    assert reply.usage.prompt_tokens == 7


def test_calls_without_an_index_are_told_apart_by_their_ids() -> None:
    folded = fold(
        delta(tool_calls=[{"id": "a", "function": {"name": "f", "arguments": '{"x"'}}]),
        delta(tool_calls=[{"function": {"arguments": ": 1}"}}]),
        delta(tool_calls=[{"id": "b", "function": {"name": "g", "arguments": "{}"}}]),
    )
    assert [c.arguments for c in folded.reply(prompt_bytes=1, asked_model="m").tool_calls] == [{"x": 1}, {}]


@given(
    st.lists(
        st.sampled_from(["data: one\n\n", "data:two\r\n\r\n", ": ping\n\n", "data: a\ndata: b\n\n", "event: x\n"])
    ),
    st.data(),
)
def test_events_are_the_same_however_the_bytes_are_cut(parts: list[str], data: st.DataObject) -> None:
    whole = "".join(parts).encode()
    at = data.draw(st.integers(0, len(whole)))

    def events(*pieces: bytes) -> list[str]:
        lines = EventLines()
        return [found for piece in pieces for found in lines.feed(piece)] + list(lines.end())

    assert events(whole) == events(whole[:at], whole[at:]) == events(*(bytes([byte]) for byte in whole))


def test_a_line_without_an_end_is_refused() -> None:
    lines = EventLines()
    with pytest.raises(ModelBadResponse):
        for _ in range(200):
            list(lines.feed(b"x" * 16384))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "2.5"}, 2.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "-3"}, 0),
        ({"retry-after": "1e9"}, 3600),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 -0000"}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read_in_every_form(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == seconds
