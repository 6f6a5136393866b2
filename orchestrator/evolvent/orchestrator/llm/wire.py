"""The chat-completions form, both ways: what we send, and a reader that forgives what can be forgiven.

Servers that call themselves compatible leave out ids, usage or finish reasons, and models write arguments that
are no JSON. What is missing is estimated and marked; only an answer without an answer is an error.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn

from evolvent.events.language.conversation import ChatMessage, ModelReply, ToolCall, Usage
from evolvent.events.language.tools import ToolSpec
from evolvent.orchestrator.llm.errors import ModelBadResponse

_NAME_CHARS = 200
_MOST_TOKENS = 10**9  # a server that reports more than this is not counting tokens
_LONGEST_RETRY_AFTER = 3600.0
_CONTROL = re.compile(r"[\x00-\x1f]")
_DEEPEST = 100  # serializers refuse to nest deeper than a few hundred


@dataclass(frozen=True)
class ReplyLimits:
    """How much of an answer is read before it is refused."""

    body_bytes: int = 8 * 1024 * 1024
    stream_bytes: int = 32 * 1024 * 1024
    text_chars: int = 1024 * 1024
    tool_calls: int = 64


@dataclass
class Draft:
    """An answer as far as it is known; whole replies and streams both end in one of these."""

    text: str | None = None
    calls: Sequence[tuple[str | None, str, object]] = ()
    """(id, name, arguments) as the server wrote them."""
    usage: object = None
    finish_reason: object = None
    model: object = None
    fingerprint: object = None


def prompt_json(messages: Sequence[ChatMessage], tools: Sequence[ToolSpec]) -> bytes:
    """Return the JSON members `"messages": [...]` and, where there are tools, `"tools": [...]`."""
    text = '"messages":' + _dumps([_message(message) for message in messages])
    if tools:
        text += ',"tools":' + _dumps([tool.function for tool in tools])
    return text.encode("utf-8", errors="replace")  # a lone surrogate cannot be sent; '?' can


def body_json(prompt: bytes, parameters: Mapping[str, object]) -> bytes:
    """Return a request body: the parameters that are not None, then the prompt."""
    head = _dumps({name: value for name, value in parameters.items() if value is not None})
    return head.encode("utf-8", errors="replace")[:-1] + b"," + prompt + b"}"


def read_whole(body: bytes, *, prompt_bytes: int, asked_model: str, limits: ReplyLimits) -> ModelReply:
    """Read an answer that came in one piece.

    Raises:
        ModelBadResponse: It is not a chat completion, holds no choice, or is larger than the limits.
    """
    payload = load_object(body)
    message, finish_reason = _first_choice(payload)
    raw_calls = message.get("tool_calls") or ()
    calls = [_raw_call(call) for call in raw_calls] if isinstance(raw_calls, list) else []
    draft = Draft(
        text=flat_text(message.get("content")) or flat_text(message.get("refusal")),
        calls=calls,
        usage=payload.get("usage"),
        finish_reason=finish_reason,
        model=payload.get("model"),
        fingerprint=payload.get("system_fingerprint"),
    )
    return finish(draft, prompt_bytes=prompt_bytes, asked_model=asked_model, limits=limits)


def finish(draft: Draft, *, prompt_bytes: int, asked_model: str, limits: ReplyLimits) -> ModelReply:
    """Turn a draft into a reply: cleaned, capped, with its usage read or estimated."""
    text = None if draft.text is None else clean(draft.text)
    if text is not None and len(text) > limits.text_chars:
        raise ModelBadResponse(f"The model's text is longer than {limits.text_chars} characters; it was not kept.")
    if len(draft.calls) > limits.tool_calls:
        raise ModelBadResponse(
            f"The model asked for {len(draft.calls)} tool calls in one turn (limit {limits.tool_calls}); none was made."
        )
    answer_bytes = len((text or "").encode()) + sum(
        len(name.encode(errors="replace")) + len(str(arguments).encode(errors="replace"))
        for _, name, arguments in draft.calls
    )
    return ModelReply(
        text=text,
        tool_calls=_tool_calls(draft.calls),
        usage=_usage(draft.usage) or _estimate(prompt_bytes, answer_bytes),
        finish_reason=clean(draft.finish_reason)[:_NAME_CHARS] if isinstance(draft.finish_reason, str) else None,
        model=clean(draft.model)[:_NAME_CHARS] if draft.model and isinstance(draft.model, str) else asked_model,
        scripted=draft.fingerprint == "scripted",
    )


def load_object(body: bytes | str) -> dict[str, Any]:
    """Read one JSON object of an answer, or say what stands there instead."""
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError) as error:
        start = clean(body[:80].decode(errors="replace") if isinstance(body, bytes) else body[:80])
        raise ModelBadResponse(
            f"The model server answered with something that is not JSON ({start!r}...); check its address."
        ) from error
    if not isinstance(payload, dict):
        raise ModelBadResponse(f"The model server answered with a JSON {type(payload).__name__}, not an object.")
    return payload


def error_text(payload: object) -> str | None:
    """Return the message of an `error` member, wherever servers put it."""
    error = payload.get("error") if isinstance(payload, dict) else None
    if isinstance(error, dict):
        error = error.get("message") or error.get("code")
    return clean(str(error))[:300] if error else None


def flat_text(content: object) -> str | None:
    """Return the text of a content member: a string, or the text parts of a list."""
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        return "".join(part for part in parts if isinstance(part, str)) or None
    return content if isinstance(content, str) else None


def clean(text: str) -> str:
    """Replace what neither UTF-8 nor PostgreSQL can hold (lone surrogates, NUL) by U+FFFD."""
    if "\x00" in text:
        text = text.replace("\x00", "\ufffd")
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        # surrogate *pairs* that arrived as two escapes are joined; only the lone ones are lost
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def read_arguments(raw: str) -> dict[str, Any] | None:
    """Read a tool call's arguments; None when they are not one JSON object of finite numbers."""
    try:
        value = json.loads(raw or "{}", parse_constant=_refuse, parse_float=_finite)
        return _clean_object(value) if isinstance(value, dict) else None
    except (ValueError, RecursionError):
        return None


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Read `retry-after-ms` or `retry-after` (seconds or a date), in seconds, within an hour."""
    try:
        if "retry-after-ms" in headers:
            seconds = float(headers["retry-after-ms"]) / 1000
        else:
            seconds = _seconds(headers.get("retry-after", ""))
    except (ValueError, TypeError):
        return None
    return min(max(seconds, 0.0), _LONGEST_RETRY_AFTER) if math.isfinite(seconds) else None


def _dumps(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _message(message: ChatMessage) -> dict[str, Any]:
    wire: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        wire["tool_calls"] = [_call(call) for call in message.tool_calls]
    elif message.content is None:
        wire["content"] = ""
    if message.tool_call_id is not None:
        wire["tool_call_id"] = message.tool_call_id
    return wire


def _call(call: ToolCall) -> dict[str, Any]:
    # Several servers parse the arguments of past calls and fail on broken ones: a broken text goes back wrapped,
    # without what would be escaped to six bytes, so that it stays below twice its length plus 32.
    broken = {"invalid_arguments": _CONTROL.sub(" ", call.raw_arguments or "")}
    arguments = call.arguments if call.arguments is not None else broken
    return {
        "id": call.call_id,
        "type": "function",
        "function": {"name": call.name, "arguments": _dumps(arguments)},
    }


def _first_choice(payload: dict[str, Any]) -> tuple[dict[str, Any], object]:
    choices = payload.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        said = error_text(payload)
        raise ModelBadResponse(
            f"The model server answered with an error: {said}" if said else "The model server's answer holds no choice."
        )
    return message, choice.get("finish_reason")


def _raw_call(call: object) -> tuple[str | None, str, object]:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(call, dict) or not isinstance(function, dict):
        return None, "", ""
    call_id, name = call.get("id"), function.get("name")
    return (
        call_id if isinstance(call_id, str) else None,
        name if isinstance(name, str) else "",
        function.get("arguments"),
    )


def _tool_calls(calls: Sequence[tuple[str | None, str, object]]) -> tuple[ToolCall, ...]:
    read: list[ToolCall] = []
    taken: set[str] = set()
    for position, (given_id, name, raw) in enumerate(calls):
        call_id = clean(given_id or f"call_{position}")[:_NAME_CHARS]
        while call_id in taken:  # results are matched by id, so ids must differ within a turn
            call_id += f"_{position}"
        taken.add(call_id)
        text = raw if isinstance(raw, str) else "{}" if raw is None else json.dumps(raw)
        arguments = read_arguments(text)
        read.append(
            ToolCall(
                call_id=call_id,
                name=clean(name)[:_NAME_CHARS],
                arguments=arguments,
                raw_arguments=clean(text) if arguments is None else None,
            )
        )
    return tuple(read)


def _usage(raw: object) -> Usage | None:
    if not isinstance(raw, dict):
        return None
    prompt, completion = _count(raw.get("prompt_tokens")), _count(raw.get("completion_tokens"))
    if prompt is None or completion is None:
        return None
    details = raw.get("prompt_tokens_details")
    cached = _count(details.get("cached_tokens")) if isinstance(details, dict) else None
    return Usage(prompt_tokens=prompt, completion_tokens=completion, cached_tokens=min(cached or 0, prompt))


def _count(value: object) -> int | None:
    return value if type(value) is int and 0 <= value <= _MOST_TOKENS else None


def _estimate(prompt_bytes: int, answer_bytes: int) -> Usage:
    return Usage(prompt_tokens=-(-prompt_bytes // 4), completion_tokens=-(-answer_bytes // 4), estimated=True)


def _clean_object(value: Any, depth: int = 0) -> Any:
    if isinstance(value, str):
        return clean(value)
    if depth > _DEEPEST:
        raise ValueError("nested too deeply")
    if isinstance(value, dict):
        return {clean(key): _clean_object(item, depth + 1) for key, item in value.items()}
    return [_clean_object(item, depth + 1) for item in value] if isinstance(value, list) else value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is too large")
    return number


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
