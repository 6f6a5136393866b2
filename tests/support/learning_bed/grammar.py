"""Requests drawn from a grammar: an opening, clauses in several phrasings, a closing; judged by carrying them out."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from support.learning_bed.agent import ScriptedAgent
from support.learning_bed.database import Base
from support.learning_bed.requests import BedRequest, Closing, Script, carry_out
from support.learning_bed.world import Ask, Seen, World

Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Drawn:
    """What a clause is about: values as the tools want them, and as people write them where that differs."""

    values: Values
    texts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Intent:
    """One thing that can be asked for.

    Attributes:
        draw: Draws what it is about, given who asks; None where this person has nothing of the kind.
        steps: The careful agent: given values and what was found out about the asker, it calls and returns a sentence.
        record: The slot that names the record: another person's, or one that does not exist, must not be touched.
        item: The slot that names a part of it, if any.
        is_learnable: False where a right argument stands nowhere to be copied or normalised from.
    """

    name: str
    phrasings: tuple[str, ...]
    draw: Callable[[random.Random, Base, Values], Drawn | None]
    steps: Callable[[Values, Values], Any]
    record: str
    item: str | None = None
    is_question: bool = False
    is_learnable: bool = True


@dataclass(frozen=True, slots=True)
class Clause:
    """An intent with what it is about, and its text. `texts` are the slots as they stand in it."""

    intent: Intent
    values: Values
    text: str
    texts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole request: who asks, in which words, and for what."""

    asker: Values
    opening: str
    clauses: tuple[Clause, ...]
    closing: str = ""
    end: str = ""

    @property
    def text(self) -> str:
        """The request as a person writes it."""
        parts = (self.opening, *(clause.text for clause in self.clauses), self.closing)
        return " ".join(part for part in parts if part) + self.end


@dataclass(frozen=True, slots=True)
class Grammar:
    """How requests of a world are put together.

    Attributes:
        askers: Who may ask.
        openings: Templates over the asker's values.
        identify: The steps with which the agent finds out who asks; it returns what it found.
        most_clauses: How much is asked for at once.
        may_repeat: Whether the same thing is asked for twice in one request.
        end: What stands after every request.
    """

    intents: tuple[Intent, ...]
    askers: Callable[[Base], Sequence[Values]]
    openings: tuple[str, ...]
    closings: tuple[str, ...]
    identify: Callable[[Values], Any]
    most_clauses: int = 2
    share_of_several: float = 0.25
    may_repeat: bool = False
    end: str = ""

    def plan(self, draw: random.Random, base: Base, askers: Sequence[Values]) -> Plan | None:
        """Draw a request; None where the asker has nothing of the kind drawn."""
        asker = draw.choice(askers)
        count = draw.randint(2, self.most_clauses) if draw.random() < self.share_of_several else 1
        clauses = []
        chosen = draw.choices(self.intents, k=count) if self.may_repeat else draw.sample(self.intents, count)
        for intent in chosen:
            drawn = intent.draw(draw, base, asker)
            if drawn is None:
                return None
            clauses.append(made_clause(intent, drawn, draw))
        return Plan(asker, self.opening(draw, asker), tuple(clauses), draw.choice(self.closings), self.end)

    def opening(self, draw: random.Random, asker: Values) -> str:
        """The first words of a request."""
        return draw.choice(self.openings).format_map(asker)

    def script(self, request: BedRequest) -> Script:
        """The careful agent."""
        plan: Plan = request.plan
        found = yield from self.identify(plan.asker)
        if found is None:
            return Closing("I could not find out who you are, so I changed nothing.")
        sentences = []
        for clause in plan.clauses:
            sentences.append((yield from clause.intent.steps(clause.values, found)))
        return Closing(" ".join(sentences))


def made_clause(intent: Intent, drawn: Drawn, draw: random.Random) -> Clause:
    """A clause in one of its phrasings."""
    texts = {name: str(value) for name, value in drawn.values.items()} | dict(drawn.texts)
    return Clause(intent, drawn.values, draw.choice(intent.phrasings).format_map(texts), texts)


def judged(world: World, agent: ScriptedAgent, request: BedRequest) -> BedRequest | None:
    """The request with what is expected of it, by carrying it out carefully; None where a call fails or nothing comes.

    The answer is expected word for word where all clauses are questions.
    """
    carried = carry_out(world, agent.policy(request))
    writes = [seen for ask, seen in carried.calls if world.is_write(ask)]
    if any(seen.error is not None for _, seen in carried.calls) or carried.closing.flag:
        return None
    plan = request.plan
    asks_only = isinstance(plan, Plan) and all(clause.intent.is_question for clause in plan.clauses)
    if not writes and not asks_only:
        return None
    answer = carried.closing.text if asks_only else None
    return replace(request, expected=carried.changes, answer=answer, writes=len(writes))


def expected_in(world: World, agent: ScriptedAgent, request: BedRequest) -> BedRequest:
    """The request with what is expected of it in another world, where nothing may be the right thing to do."""
    if not request.is_positive:
        return request
    carried = carry_out(world, agent.policy(request))
    writes = sum(world.is_write(ask) for ask, _ in carried.calls)
    answer = carried.closing.text if request.answer is not None else None
    return replace(request, expected=carried.changes, answer=answer, writes=writes)


def drawn_requests(
    world: World, grammar: Grammar, agent: ScriptedAgent, *, seed: int, count: int, prefix: str = "drawn"
) -> list[BedRequest]:
    """Draw distinct requests that can be carried out."""
    draw = random.Random(f"{world.name}:{seed}")
    askers = grammar.askers(world.base)
    found: dict[str, BedRequest] = {}
    for _ in range(count * 40):
        if len(found) == count:
            return list(found.values())
        plan = grammar.plan(draw, world.base, askers)
        if plan is None or plan.text in found:
            continue
        request = BedRequest(
            f"{prefix}-{len(found)}",
            plan.text,
            {},
            plan,
            user_id=str(plan.asker["id"]),
            intents=tuple(clause.intent.name for clause in plan.clauses),
        )
        made = judged(world, agent, request)
        if made is not None:
            found[plan.text] = made
    raise ValueError(f"The grammar of {world.name} gave {len(found)} distinct requests, not {count}.")


def ask(name: str, /, **arguments: Any) -> Any:
    """Call a tool in a policy: `result = yield from ask("find_order", order_id=…)`; None where it failed."""
    seen: Seen = yield Ask(name, arguments)
    return seen.result if seen.error is None else None
