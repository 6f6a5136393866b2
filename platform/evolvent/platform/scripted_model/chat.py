"""A chat-completions request as a script sees it, and the answer that a script gives."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol


class BadRequest(ValueError):
    """The request is no chat-completions request; the text says why."""


@dataclass(frozen=True)
class ToolResult:
    """What a tool gave back in this conversation, with the call that asked for it."""

    name: str
    arguments: Any
    text: str

    @cached_property
    def result(self) -> Any:
        """The result as data where it is JSON, else its text."""
        return parse_json(self.text)


@dataclass(frozen=True)
class ChatRequest:
    """One request. State is never kept between requests: all of it is read from the messages."""

    model: str
    messages: tuple[dict[str, Any], ...]
    tools: tuple[str, ...] = ()
    max_tokens: int | None = None
    streamed: bool = False
    include_usage: bool = False

    @classmethod
    def parse(cls, body: bytes) -> ChatRequest:
        """Read a request body.

        Raises:
            BadRequest: It is no JSON object with messages.
        """
        try:
            raw = json.loads(body)
            messages = tuple(raw["messages"])
            if not messages or not all(isinstance(message["role"], str) for message in messages):
                raise BadRequest("'messages' must be a list of messages, each with a role.")
            offered = [tool["function"]["name"] for tool in raw.get("tools") or ()]
            cap = raw.get("max_completion_tokens", raw.get("max_tokens"))
            options = raw.get("stream_options") or {}
            return cls(
                model=str(raw["model"]),
                messages=messages,
                tools=tuple(map(str, offered)),
                max_tokens=None if cap is None else int(cap),
                streamed=bool(raw.get("stream")),
                include_usage=bool(options.get("include_usage")),
            )
        except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
            raise BadRequest(f"This is not a chat-completions request: {error!r}"[:300]) from error

    @cached_property
    def system(self) -> str:
        """All system and developer messages, joined."""
        return "\n".join(text_of(m) for m in self.messages if m["role"] in ("system", "developer"))

    @cached_property
    def first_user(self) -> str:
        """The text of the first user message, or nothing."""
        return next((text_of(m) for m in self.messages if m["role"] == "user"), "")

    @cached_property
    def last_user(self) -> str:
        """The text of the last user message, or nothing."""
        return next((text_of(m) for m in reversed(self.messages) if m["role"] == "user"), "")

    @cached_property
    def first_user_hash(self) -> str:
        """SHA-256 of the first user message, in hex: the name under which a recorded trace is found."""
        return first_user_hash(self.first_user)

    @cached_property
    def prompt_tokens(self) -> int:
        """Characters of all messages, divided by four."""
        return -(-sum(_chars(message) for message in self.messages) // 4)

    def tool_results(self, *, since_last_user: bool) -> tuple[ToolResult, ...]:
        """Return the tool results of the whole conversation, or those since the last user message."""
        calls = {
            call.get("id"): call.get("function") or {}
            for message in self.messages
            for call in message.get("tool_calls") or ()
        }
        found = []
        for message in self._window(since_last_user=since_last_user):
            if message["role"] == "tool":
                call = calls.get(message.get("tool_call_id"), {})
                arguments = parse_json(call.get("arguments") or "")
                found.append(ToolResult(str(call.get("name", "")), arguments, text_of(message)))
        return tuple(found)

    def tool_rounds(self, *, since_last_user: bool) -> int:
        """Count the groups of consecutive tool messages: how many turns of calls have been answered."""
        roles = [message["role"] for message in self._window(since_last_user=since_last_user)]
        return sum(1 for at, role in enumerate(roles) if role == "tool" and (at == 0 or roles[at - 1] != "tool"))

    def _window(self, *, since_last_user: bool) -> tuple[dict[str, Any], ...]:
        if not since_last_user:
            return self.messages
        last = max((at for at, m in enumerate(self.messages) if m["role"] == "user"), default=-1)
        return self.messages[last + 1 :]


@dataclass(frozen=True)
class Call:
    """A tool call of an answer; its arguments are JSON text, broken text where a fault wants it so."""

    name: str
    arguments: str


@dataclass(frozen=True)
class Answer:
    """What is said, and under which rule and turn of the script."""

    text: str | None = None
    calls: tuple[Call, ...] = ()
    rule: str = ""
    turn: int = 0
    extra: dict[str, Any] = field(default_factory=dict)
    """Notes for the ledger, such as that a replayed trace had to leave its recording."""

    @property
    def completion_tokens(self) -> int:
        """Characters of the answer, divided by four."""
        chars = len(self.text or "") + sum(len(call.name) + len(call.arguments) for call in self.calls)
        return -(-chars // 4)


class Responder(Protocol):
    """Whatever decides the answers: a script, or a recording that is replayed."""

    def answer(self, request: ChatRequest) -> Answer:
        """Answer one request from nothing but the request."""
        ...


def first_user_hash(text: str) -> str:
    """Return the SHA-256 of a user message, in hex."""
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()


def text_of(message: dict[str, Any]) -> str:
    """Return a message's text; parts of a list are joined."""
    content = message.get("content")
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def parse_json(text: str) -> Any:
    """Return the data that a text spells, or the text itself."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _chars(message: dict[str, Any]) -> int:
    functions = [call.get("function") or {} for call in message.get("tool_calls") or ()]
    called = sum(len(str(f.get("name", ""))) + len(str(f.get("arguments", ""))) for f in functions)
    return len(text_of(message)) + called
