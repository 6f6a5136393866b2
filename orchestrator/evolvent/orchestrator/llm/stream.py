"""An answer that comes in pieces: server-sent events in, text as it arrives, one reply at the end.

Written by hand because it costs a tenth of the SDK's own stream per piece, and because a stream that simply
ends looks like success there: here an answer without its end is an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from evolvent.events.language.conversation import ModelReply
from evolvent.orchestrator.llm.errors import ModelBadResponse
from evolvent.orchestrator.llm.wire import (
    Draft,
    ReplyLimits,
    clean,
    error_text,
    finish,
    flat_text,
    load_object,
)

DONE = "[DONE]"
_LONGEST_LINE = 2 * 1024 * 1024


class EventLines:
    """Cuts a byte stream into the data of its events; comments and other fields are dropped."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[str] = []

    def feed(self, piece: bytes) -> Iterator[str]:
        """Yield the data of every event that this piece completes."""
        if b"\n" not in piece:
            self._rest += piece
            self._check(self._rest)
            return
        *lines, self._rest = (self._rest + piece).split(b"\n")
        self._check(self._rest)
        for line in lines:
            line = line.removesuffix(b"\r")
            if line.startswith(b"data:"):
                self._data.append(line[5:].removeprefix(b" ").decode(errors="replace"))
            elif not line:
                yield from self._dispatch()

    def end(self) -> Iterator[str]:
        """Yield the last event of a server that forgot the final blank line."""
        yield from self.feed(b"\n\n")

    def _dispatch(self) -> Iterator[str]:
        if self._data:
            data, self._data = "\n".join(self._data), []
            yield data

    def _check(self, line: bytes) -> None:
        if len(line) > _LONGEST_LINE:
            raise ModelBadResponse(f"The model server sent a line of more than {_LONGEST_LINE} bytes.")


@dataclass
class _PartialCall:
    call_id: str | None
    name: str = ""
    arguments: list[str] = field(default_factory=list)


class ReplyFold:
    """Folds the chunks of one streamed answer into a reply, and refuses what outgrows its limits.

    A chunk carries at least a token from every honest server, so the output cap bounds the chunks too: an
    endless stream ends after about twice the tokens that were allowed.
    """

    def __init__(self, *, max_tokens: int, limits: ReplyLimits) -> None:
        self._limits = limits
        self._most_chunks = 2 * max_tokens + 64
        self._chunks = 0
        self._chars = 0
        self._text: list[str] = []
        self._calls: dict[object, _PartialCall] = {}
        self._draft = Draft()

    @property
    def finished(self) -> bool:
        """Say whether the server has stated why it stopped."""
        return self._draft.finish_reason is not None

    def add(self, data: str) -> str:
        """Take in the data of one event and return the text it adds.

        Raises:
            ModelBadResponse: The data is no JSON object, states an error, or outgrows a limit.
        """
        chunk = load_object(data)
        if chunk.get("error"):
            raise ModelBadResponse(f"The model server broke off with an error: {error_text(chunk)}")
        draft = self._draft
        draft.usage = chunk.get("usage") or draft.usage
        draft.model = chunk.get("model") or draft.model
        draft.fingerprint = chunk.get("system_fingerprint") or draft.fingerprint
        choices = chunk.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        if not isinstance(choice, dict):
            return ""
        draft.finish_reason = choice.get("finish_reason") or draft.finish_reason
        delta = choice.get("delta")
        return self._delta(delta) if isinstance(delta, dict) else ""

    def reply(self, *, prompt_bytes: int, asked_model: str) -> ModelReply:
        """Return the whole answer."""
        self._draft.text = "".join(self._text) if self._text else None
        self._draft.calls = [(call.call_id, call.name, "".join(call.arguments)) for call in self._calls.values()]
        return finish(self._draft, prompt_bytes=prompt_bytes, asked_model=asked_model, limits=self._limits)

    def _delta(self, delta: dict[str, Any]) -> str:
        self._chunks += 1
        if self._chunks > self._most_chunks:
            raise ModelBadResponse("The model server streams on far beyond the output cap; the stream was cut.")
        raw_calls = delta.get("tool_calls")
        for call in raw_calls if isinstance(raw_calls, list) else ():
            if isinstance(call, dict):
                self._call(call)
        text = flat_text(delta.get("content")) or flat_text(delta.get("refusal"))
        if not text:
            return ""
        self._grow(len(text))
        self._text.append(text)
        return clean(text)

    def _call(self, call: dict[str, Any]) -> None:
        given_id, index = call.get("id"), call.get("index")
        call_id = given_id if isinstance(given_id, str) and given_id else None
        function = call.get("function")
        function = function if isinstance(function, dict) else {}
        partial = self._calls.get(key := self._key(index, call_id))
        if partial is None:
            partial = self._calls[key] = _PartialCall(call_id)
            if len(self._calls) > self._limits.tool_calls:
                raise ModelBadResponse(
                    f"The model asked for more than {self._limits.tool_calls} tool calls in one turn."
                )
        name, arguments = function.get("name"), function.get("arguments")
        if isinstance(name, str) and not partial.name:
            partial.name = name
        if isinstance(arguments, str):
            self._grow(len(arguments))
            partial.arguments.append(arguments)

    def _key(self, index: object, call_id: str | None) -> object:
        if isinstance(index, int):
            return index
        # Some servers leave the index out: a new id starts a call, no id continues the last one.
        return call_id or next(reversed(self._calls), "")

    def _grow(self, chars: int) -> None:
        self._chars += chars
        if self._chars > self._limits.text_chars:
            raise ModelBadResponse(f"The model's answer is longer than {self._limits.text_chars} characters.")
