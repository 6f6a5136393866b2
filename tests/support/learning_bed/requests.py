"""Requests of the bed, and the scripts by which a careful agent carries them out."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from support.learning_bed.database import Changes
from support.learning_bed.world import Ask, Seen, World

POSITIVE = "positive"


@dataclass(frozen=True, slots=True)
class Closing:
    """What an agent says last. `flag` says that its script no longer fitted the world, and why."""

    text: str
    flag: str = ""


Script = Generator[Ask, Seen, Closing]


@dataclass(frozen=True, slots=True)
class BedRequest:
    """A request, and what only the judge and the scripted agent know of it.

    Attributes:
        expected: The records that differ afterwards if all is done right.
        answer: What a right answer says, for requests that only ask.
        kind: `positive`, or in what way an automation must not serve it.
        plan: What the agent's policy works from. No platform sees it.
        writes: How many writes a careful agent makes.
        intents: What is asked for, clause by clause.
    """

    request_id: str
    text: str
    expected: Changes
    plan: Any
    kind: str = POSITIVE
    answer: str | None = None
    user_id: str | None = None
    writes: int = 0
    intents: tuple[str, ...] = ()

    @property
    def is_positive(self) -> bool:
        """Say whether an automation may serve it."""
        return self.kind == POSITIVE


Policy = Callable[[BedRequest], Script]


@dataclass(frozen=True, slots=True)
class Carried:
    """A request carried out: the calls with what came of them, the changes and the last words."""

    calls: tuple[tuple[Ask, Seen], ...]
    changes: Changes
    closing: Closing


def carry_out(world: World, script: Script, *, run_id: str = "oracle") -> Carried:
    """Run a script to its end in a fresh database."""
    desk = world.desk()
    calls: list[tuple[Ask, Seen]] = []
    try:
        ask = next(script)
        while True:
            seen = world.call(desk, run_id, ask, step=len(calls))
            calls.append((ask, seen))
            ask = script.send(seen)
    except StopIteration as end:
        return Carried(tuple(calls), desk.changes(world.name, run_id), end.value)


def without_writes(world: World, script: Script, refusal: str) -> Script:
    """The same script by an agent that sees that it must not: it reads, and stops before the first write."""
    try:
        ask = next(script)
        while not world.is_write(ask):
            seen = yield ask
            if seen.error is not None:
                break
            ask = script.send(seen)
    except StopIteration as end:
        return Closing(refusal, end.value.flag)
    return Closing(refusal)
