"""One model turn: what goes to a model, what comes back, and how the next prompt is rendered from the past."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

_FROZEN = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class ToolCall(BaseModel):
    """A call that a model asked for. `arguments` is None when what it wrote is not a JSON object."""

    model_config = _FROZEN

    call_id: str
    name: str
    arguments: dict[str, Any] | None = None
    raw_arguments: str | None = None
    """The model's own text, kept only where `arguments` is None."""


class ChatMessage(BaseModel):
    """One message of a conversation, in the portable chat-completions form."""

    model_config = _FROZEN

    role: Literal["system", "user", "assistant", "tool"]
    content: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None


class Usage(BaseModel):
    """Tokens of one turn. `estimated` says that the server sent none and they were counted from bytes."""

    model_config = _FROZEN

    prompt_tokens: int = Field(default=0, ge=0)
    completion_tokens: int = Field(default=0, ge=0)
    cached_tokens: int = Field(default=0, ge=0)
    estimated: bool = False


class ModelReply(BaseModel):
    """What a model answered: text, or tool calls, or both."""

    model_config = _FROZEN

    text: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    usage: Usage = Usage()
    finish_reason: str | None = None
    model: str = ""
    """The model's name as the server stated it, or as it was asked for."""
    scripted: bool = False
    """True when the server says that its answers come from a script and not from a model."""


def name_calls(reply: ModelReply, turn: int) -> ModelReply:
    """Return the reply with call ids that are unique in a task and the same at every replay.

    Servers reuse ids ("call_0") from turn to turn; the model only needs its calls and their results to match.
    """
    if not reply.tool_calls:
        return reply
    calls = tuple(call.model_copy(update={"call_id": f"c{turn}_{i}"}) for i, call in enumerate(reply.tool_calls))
    return reply.model_copy(update={"tool_calls": calls})
