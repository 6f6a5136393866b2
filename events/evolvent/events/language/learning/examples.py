"""Runs of one signature, laid side by side: the same slot and the same step in each have the same name.

This is what induction reads: given the slots and what the steps before returned, where does each argument come from?
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from evolvent.events.language.tools import Effect


@dataclass(frozen=True, slots=True)
class StepCall:
    """A call of an example. Calls of a repeated group share their step, and are told apart by `item` (0, 1, …)."""

    step: str
    tool: str
    arguments: Mapping[str, Any]
    result: Any
    effect: Effect
    item: int | None = None
    schema_hash: str = ""
    origin: Literal["tool", "web"] = "tool"
    """Where the result came from: what the web said is copied, and never compared with by heart."""

    @property
    def is_write(self) -> bool:
        """Say whether the call changes anything."""
        return self.effect not in (Effect.PURE, Effect.READ)


@dataclass(frozen=True, slots=True)
class Example:
    """One run's part that shows a signature: the values of its slots, its calls in order, what was answered.

    A slot of a repeated group holds a tuple with one text for each repetition; all other slots hold one text.
    """

    run_id: str
    slots: Mapping[str, str | tuple[str, ...]]
    calls: tuple[StepCall, ...] = ()
    answer: str | None = None
    principal: str = "anonymous"
    session_id: str | None = None
    is_disputed: bool = False
    """Somebody said that this run was wrong: it is a counter-example, and never support."""
    context: tuple[StepCall, ...] = ()
    """Reads of other sentences of the request that introduce something, such as who asks."""


@dataclass(frozen=True, slots=True)
class Clause:
    """A piece of a request as a template: literal words and slots, in order; and what it did in one run.

    `skeleton` is the text with slots as `{a}`, groups folded as `( {a} to {b} ; )+`, all parted by single blanks.
    """

    signature: str
    skeleton: str
    example: Example
    tools: tuple[str, ...] = ()
    scope: tuple[str, str] = ("default", "")
    is_filler: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    """Where each slot's value was first seen beside the request: `user`, `tool` or `web`."""
    shape: str = ""
    """What it did, for people: steps in order, `!` marks writes and `*` what is done for each thing of a group."""
    beside: tuple[str, ...] = ()
    """Skeletons of the small talk in the same run."""
    companions: tuple[str, ...] = ()
    """Signatures of the other clauses of the same run."""
    introductions: tuple[str, ...] = ()
    """Those of the companions that only introduce what others need, such as saying who one is."""
    introduces: tuple[str, ...] = ()
    """Its steps that others have as context."""
    extras: tuple[str, ...] = ()
    """Steps of the example that only ride along: reads that nothing consumed; they are no part of the signature."""
    spec_hash: str = ""
    """Which version of the agent did it."""
