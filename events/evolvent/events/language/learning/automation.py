"""Automations: learnt programs as documents that a person can read, approve, compare and withdraw. No code is made."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from evolvent.events.language.hashing import content_hash
from evolvent.events.language.learning.guards import Guard
from evolvent.events.language.learning.induced import InducedStep
from evolvent.events.language.learning.links import Links
from evolvent.events.language.learning.nodes import Program, Text
from evolvent.events.language.tools import Effect

SlotKind = Literal["text", "number", "money", "date", "clock", "record", "identity"]
Kind = Literal["full", "shrink", "hint"]
STRENGTH = (Effect.PURE, Effect.READ, Effect.IDEMPOTENT, Effect.KEYED, Effect.IRREVERSIBLE)


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class AutomationSlot(_Document):
    """A variable part of a request. `is_group` holds one text for each repetition."""

    name: str
    kind: SlotKind = "text"
    is_group: bool = False


class AutomationStep(_Document):
    """A tool call with a program for each argument; `repeats` is a slot of the group that it is repeated over."""

    step: str
    tool: str
    effect: Effect
    schema_hash: str = ""
    bindings: dict[str, Program] = {}
    repeats: str | None = None
    is_late: bool = False

    @property
    def is_write(self) -> bool:
        """Say whether the call changes anything."""
        return self.effect not in (Effect.PURE, Effect.READ)

    @property
    def learnt(self) -> InducedStep:
        """The step as induction wrote it."""
        return InducedStep(
            self.step, self.tool, self.effect, self.schema_hash, self.bindings, self.repeats, self.is_late
        )


class Automation(_Document):
    """How one kind of clause is served.

    full: no model is called. shrink: what is understood runs, one small prompt does the rest: the answer, or also the
    `open_tools`. hint: a line in the agent's prompt. `tools` names every tool that it may call, with the schema it was
    learnt with: never more than its source runs called. `ignored_slots` are words of the request that nothing looks
    at: with writes, somebody should confirm each use.
    """

    automation_id: str
    name: str
    version: int = 1
    kind: Kind
    signature: str
    goal: str = "default"
    agent_id: str = ""
    spec_hash: str = ""
    """Which version of that agent it was learnt from; another one may do the same words differently."""
    template: dict[str, Any] = {}
    slots: tuple[AutomationSlot, ...] = ()
    steps: tuple[AutomationStep, ...] = ()
    open_tools: tuple[str, ...] = ()
    guards: tuple[Guard, ...] = ()
    links: Links = Links()
    context: tuple[str, ...] = ()
    """The steps of another sentence that programs and guards call `@`: one of them has to be in the request."""
    response: Text | None = None
    ignored_slots: tuple[str, ...] = ()
    effect: Effect = Effect.READ
    tools: dict[str, str] = {}
    labels: dict[str, str] = {}
    run_ids: tuple[str, ...] = ()
    principals: int = 0
    sessions: int = 0
    agreement: float = 0.0
    expected_tokens_saved: int = 0

    @property
    def scope(self) -> tuple[str, str]:
        """Whose it is: (goal, agent_id)."""
        return self.goal, self.agent_id

    @property
    def needs_confirmation(self) -> bool:
        """Say whether it writes although part of the request is not looked at."""
        return bool(self.ignored_slots) and self.effect not in (Effect.PURE, Effect.READ)

    @cached_property
    def content_hash(self) -> str:
        """Hash of what it does; not of its version, nor of the evidence for it."""
        evidence = {"version", "run_ids", "principals", "sessions", "agreement", "expected_tokens_saved"}
        return content_hash(self.model_dump(mode="json", exclude=evidence))


def needs_confirmation(automations: Iterable[Automation]) -> bool:
    """Say whether these clauses of one request together write although some word of it is not looked at."""
    every = tuple(automations)
    is_writing = strongest(tuple(each.effect for each in every)) not in (Effect.PURE, Effect.READ)
    return is_writing and any(each.ignored_slots for each in every)


def strongest(effects: tuple[Effect, ...]) -> Effect:
    """Return the effect that demands most care; of none, `pure`."""
    return max(effects, key=STRENGTH.index, default=Effect.PURE)
