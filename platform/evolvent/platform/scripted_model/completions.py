"""Answers in the wire form of chat completions, whole or in chunks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from evolvent.platform.scripted_model.chat import Answer, Call, ChatRequest

FINGERPRINT = "scripted"
_CHUNK_CHARS = 24
BROKEN_ARGUMENTS = '{"unfinished": '


def capped(answer: Answer, max_tokens: int | None) -> tuple[Answer, str]:
    """Cut an answer at the output cap, as providers do, and return it with its finish reason."""
    if max_tokens is None or answer.completion_tokens <= max_tokens:
        return answer, "tool_calls" if answer.calls else "stop"
    room = 4 * max(max_tokens, 0)
    text = None if answer.text is None else answer.text[:room]
    room -= len(text or "")
    calls: list[Call] = []
    for call in answer.calls:
        if room <= len(call.name):
            break
        arguments = call.arguments[: room - len(call.name)]
        calls.append(Call(call.name, arguments))
        room -= len(call.name) + len(arguments)
    return replace(answer, text=text, calls=tuple(calls)), "length"


def broken(answer: Answer) -> Answer:
    """Return the answer with arguments that are no JSON."""
    return replace(answer, calls=tuple(Call(call.name, BROKEN_ARGUMENTS) for call in answer.calls))


def usage(request: ChatRequest, answer: Answer) -> dict[str, int]:
    """Return the usage member: characters divided by four, over the messages truly sent."""
    prompt, completion = request.prompt_tokens, answer.completion_tokens
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def whole(request: ChatRequest, answer: Answer, *, finish_reason: str, with_usage: bool, created: int) -> bytes:
    """Return the body of an answer in one piece."""
    message: dict[str, Any] = {"role": "assistant", "content": answer.text}
    if answer.calls:
        message["tool_calls"] = _calls(request, answer)
    return _dumps(
        {
            **_head(request, "chat.completion", created),
            "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}],
            "usage": usage(request, answer) if with_usage else None,
        }
    )


def chunks(
    request: ChatRequest, answer: Answer, *, finish_reason: str, with_usage: bool, created: int
) -> Iterator[bytes]:
    """Yield an answer as server-sent events: the text in pieces, the calls, the end, the usage, `[DONE]`."""
    head = _head(request, "chat.completion.chunk", created)
    yield event({**head, "choices": [_choice({"role": "assistant", "content": ""})]})
    text = answer.text or ""
    for at in range(0, len(text), _CHUNK_CHARS):
        yield event({**head, "choices": [_choice({"content": text[at : at + _CHUNK_CHARS]})]})
    for index, call in enumerate(_calls(request, answer)):
        arguments = call["function"].pop("arguments")
        yield event({**head, "choices": [_choice({"tool_calls": [{"index": index, **call}]})]})
        more = {"index": index, "function": {"arguments": arguments}}
        yield event({**head, "choices": [_choice({"tool_calls": [more]})]})
    yield event({**head, "choices": [{**_choice({}), "finish_reason": finish_reason}]})
    if with_usage and request.include_usage:
        yield event({**head, "choices": [], "usage": usage(request, answer)})
    yield b"data: [DONE]\n\n"


def error_body(message: str, *, kind: str, code: str | None = None) -> bytes:
    """Return the body of a refusal."""
    return _dumps({"error": {"message": message, "type": kind, "param": None, "code": code}})


def without_choices(request: ChatRequest, *, created: int) -> bytes:
    """Return a body that says nothing."""
    return _dumps({**_head(request, "chat.completion", created), "choices": None})


def event(payload: dict[str, Any]) -> bytes:
    """Return one server-sent event."""
    return b"data: " + _dumps(payload) + b"\n\n"


def _head(request: ChatRequest, kind: str, created: int) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-scripted-{request.first_user_hash[:12]}-{len(request.messages)}",
        "object": kind,
        "created": created,
        "model": request.model,
        "system_fingerprint": FINGERPRINT,
    }


def _choice(delta: dict[str, Any]) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "finish_reason": None}


def _calls(request: ChatRequest, answer: Answer) -> list[dict[str, Any]]:
    # Ids follow from the messages, so that the same request gets the same answer, yet differ from turn to turn.
    return [
        {
            "id": f"call_{len(request.messages)}_{at}",
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        }
        for at, call in enumerate(answer.calls)
    ]


def _dumps(payload: dict[str, Any]) -> bytes:
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")
