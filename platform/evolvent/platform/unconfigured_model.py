"""What stands in the model's place where nobody named a model server: it says so, and sends nothing."""

from __future__ import annotations

from collections.abc import Callable

from evolvent.events.language.conversation import ModelReply
from evolvent.orchestrator.llm.client import ModelRequest
from evolvent.orchestrator.llm.errors import ModelAccessDenied

NO_MODEL_SERVER = (
    "No model server is named; set OPENAI_API_KEY, or OPENAI_BASE_URL for a server of your own, and start again."
)


class UnconfiguredModel:
    """Refuses every turn with the remedy."""

    async def complete(self, request: ModelRequest, *, on_text: Callable[[str], None] | None = None) -> ModelReply:
        """Refuse.

        Raises:
            ModelAccessDenied: always; nothing was sent.
        """
        raise ModelAccessDenied(f"{NO_MODEL_SERVER} Nothing was sent.", sent=False)

    async def close(self) -> None:
        """There is nothing to let go of."""
