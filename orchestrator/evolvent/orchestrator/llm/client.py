"""The seam: one request, one reply, whoever answers.

One implementation ships (`openai_client.OpenAIModel`). Tests and the demo use the same one, against a scripted
server over real HTTP. A model never retries and never waits longer than the request's deadline: whoever calls
it holds the lease and decides.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from evolvent.events.language.conversation import ChatMessage, ModelReply
from evolvent.events.language.tools import ToolSpec
from evolvent.orchestrator.llm.wire import prompt_json


@dataclass(frozen=True)
class ModelRequest:
    """All that one model turn depends on. A parameter left None is not sent: the server's own default holds.

    Attributes:
        max_tokens: Cap on the output; always sent, since the lease is priced from it.
        deadline_seconds: Wall time for the whole call, connecting and streaming included.
    """

    model: str
    messages: tuple[ChatMessage, ...]
    max_tokens: int
    tools: tuple[ToolSpec, ...] = ()
    deadline_seconds: float = 60.0
    temperature: float | None = None
    top_p: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None

    @cached_property
    def prompt_json(self) -> bytes:
        """The JSON members `"messages"` and `"tools"`, exactly as they are sent."""
        return prompt_json(self.messages, self.tools)


class Model(Protocol):
    """A language model that answers one turn at a time."""

    async def complete(self, request: ModelRequest, *, on_text: Callable[[str], None] | None = None) -> ModelReply:
        """Answer one turn.

        Args:
            request: The turn.
            on_text: Called with each piece of text as it arrives; without it the call is not streamed.

        Raises:
            ModelError: A subclass says what happened and whether to call again; `sent` says whether the
                request may have reached the provider.
        """
        ...

    async def close(self) -> None:
        """Let go of the connections."""
        ...
