"""Tool specs: what a tool is called, takes and does to the world."""

from __future__ import annotations

import json
from enum import StrEnum
from functools import cached_property
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from evolvent.events.language.hashing import content_hash


class Effect(StrEnum):
    """What calling a tool does to the world, and so what a crash in mid-call allows.

    pure, read: may be repeated freely. idempotent: repeating changes nothing more. keyed: repeated only
    with the same idempotency key. irreversible: never repeated on a guess. Undeclared means irreversible.
    """

    PURE = "pure"
    READ = "read"
    IDEMPOTENT = "idempotent"
    KEYED = "keyed"
    IRREVERSIBLE = "irreversible"

    @property
    def needs_claim(self) -> bool:
        """Say whether `tool_claimed` must be stored before the call."""
        return self in (Effect.KEYED, Effect.IRREVERSIBLE)


class Access(StrEnum):
    """Who is offered a tool: every agent, agents it was granted to, or operators only."""

    PUBLIC = "public"
    RESTRICTED = "restricted"
    ADMIN = "admin"


class ToolSpec(BaseModel):
    """A tool as agents, plans and the learner see it; the code behind it stays in its process."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    description: str = ""
    category: str = "general"
    access: Access = Access.PUBLIC
    effect: Effect = Effect.IRREVERSIBLE
    parameters: dict[str, Any] = {}
    timeout_seconds: float = 30.0
    reconcilable: bool = False
    origin: Literal["tool", "web"] = "tool"
    """Where its results come from; text from the web is never trusted by the learner."""

    @cached_property
    def schema_hash(self) -> str:
        """Hash of what a caller depends on: name, parameters and effect."""
        return content_hash([self.name, self.parameters, self.effect])

    @cached_property
    def function(self) -> dict[str, Any]:
        """The tool in the `tools` form of chat completions."""
        return {
            "type": "function",
            "function": {"name": self.name, "description": self.description, "parameters": self.parameters},
        }

    @cached_property
    def function_bytes(self) -> int:
        """How long that form is as JSON."""
        return len(json.dumps(self.function))
