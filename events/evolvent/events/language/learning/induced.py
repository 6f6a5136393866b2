"""What induction hands back: steps with the programs of their arguments, what must hold, and what stayed open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from evolvent.events.language.learning.guards import Guard
from evolvent.events.language.learning.nodes import Program, Text, slots_of, steps_of
from evolvent.events.language.tools import Effect


@dataclass(frozen=True, slots=True)
class InducedStep:
    """A call whose arguments are understood. `repeats` is a slot of the group that it is repeated over."""

    step: str
    tool: str
    effect: Effect
    schema_hash: str
    bindings: Mapping[str, Program]
    repeats: str | None = None
    is_late: bool = False
    """It reads after a write, and no write needs it: it runs when all writes are done."""

    @property
    def is_write(self) -> bool:
        """Say whether the call changes anything."""
        return self.effect not in (Effect.PURE, Effect.READ)

    @property
    def needs(self) -> frozenset[str]:
        """The steps whose outputs its arguments come from."""
        return frozenset().union(*(steps_of(program) for program in self.bindings.values()))

    @property
    def slots(self) -> frozenset[str]:
        """The slots that its arguments come from."""
        direct = frozenset().union(*(slots_of(program) for program in self.bindings.values()))
        return direct | ({self.repeats} if self.repeats else frozenset())


@dataclass(frozen=True, slots=True)
class Induced:
    """A signature that is understood, at least in part.

    `open_steps` are the steps that are not, with the reason: a model has to do them. `ignored_slots` are words of the
    request that neither a call nor a guard looks at: where there are any, somebody should confirm each use.
    `agreement` is the share of the runs whose calls the programs give exactly; `misses` names the others.
    """

    steps: tuple[InducedStep, ...]
    guards: tuple[Guard, ...] = ()
    response: Text | None = None
    ignored_slots: tuple[str, ...] = ()
    support: int = 0
    agreement: float = 0.0
    misses: tuple[str, ...] = ()
    open_steps: Mapping[str, str] = field(default_factory=dict)
    runs: tuple[str, ...] = ()
    """The runs that the programs reproduce."""
    context: tuple[str, ...] = ()
    """The steps of another sentence, of which nearly every run had one: whoever asks has to say who that is."""

    @property
    def writes(self) -> tuple[InducedStep, ...]:
        """The steps that change something, in order."""
        return tuple(step for step in self.steps if step.is_write)


@dataclass(frozen=True, slots=True)
class NotLearnt:
    """Nothing was learnt, and why: the next runs may change that."""

    reason: str
