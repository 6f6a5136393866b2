"""The scripted agent: a careful policy, and what can go wrong with it, by seed."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from support.learning_bed.requests import BedRequest, Closing, Policy, Script, without_writes
from support.learning_bed.world import Ask, Seen, World

Log = list[tuple[Ask, Seen]]
Alternatives = Callable[[World, Ask, str, Log], Sequence[Any]]
"""Other values that a wrong agent may give a call's argument; none where this argument never slips."""
REFUSAL = "I cannot do this for you as it is asked; a person will look at it."


@dataclass(frozen=True, slots=True)
class Knobs:
    """What goes wrong, and how often.

    Attributes:
        seed: The same seed, request and attempt give the same slips.
        slip_rate: Share of the runs in which one write has a wrong argument.
        redundant_rate: Share of the runs in which a read is made twice.
        always_wrong: Tools whose calls are wrong in every run, always in the same way: a systematic mistake.
        broken_arguments: Share of the calls that come as broken JSON first.
        rate_limited: Share of the model calls that are refused with 429 first.
        server_errors: Share of the model calls that fail with 500 first.
        hangs: Share of the model calls that are never answered at first. Only offline time passes by the clock.
        fixed_ms: What a model call takes, on the virtual clock.
        ms_per_token: What each token of its answer takes.
    """

    seed: int = 0
    slip_rate: float = 0.0
    redundant_rate: float = 0.0
    always_wrong: frozenset[str] = frozenset()
    broken_arguments: float = 0.0
    rate_limited: float = 0.0
    server_errors: float = 0.0
    hangs: float = 0.0
    fixed_ms: float = 300.0
    ms_per_token: float = 15.0


@dataclass(frozen=True, slots=True)
class ScriptedAgent:
    """An agent that follows a policy.

    Attributes:
        policy: What a careful agent does.
        knobs: What goes wrong.
        alternatives: What a slip may put into an argument.
    """

    policy: Policy
    knobs: Knobs = Knobs()
    alternatives: Alternatives | None = None

    def script(self, world: World, request: BedRequest, *, attempt: int = 0) -> Script:
        """What the agent does with a request; another attempt slips elsewhere."""
        careful = self.policy(request)
        if not request.is_positive:
            careful = without_writes(world, careful, REFUSAL)
        if self.knobs.slip_rate or self.knobs.redundant_rate or self.knobs.always_wrong:
            return self._slipping(world, request, careful, attempt)
        return careful

    def _slipping(self, world: World, request: BedRequest, careful: Script, attempt: int) -> Script:
        knobs = self.knobs
        draw = random.Random(f"{knobs.seed}:{request.text}:{attempt}")
        slip_at = draw.randrange(max(1, request.writes)) if draw.random() < knobs.slip_rate else -1
        repeat_at = draw.randrange(2) if draw.random() < knobs.redundant_rate else -1
        reads = writes = 0
        log: Log = []
        try:
            ask = next(careful)
            while True:
                if not world.is_write(ask):
                    if reads == repeat_at:
                        log.append((ask, (yield ask)))
                    reads += 1
                else:
                    if ask.name in knobs.always_wrong:
                        ask = self._wrong(world, ask, log, random.Random(f"{knobs.seed}:{ask.name}"))
                    elif writes == slip_at:
                        ask = self._wrong(world, ask, log, draw)
                    writes += 1
                seen = yield ask
                log.append((ask, seen))
                ask = careful.send(seen)
        except StopIteration as end:
            closing: Closing = end.value
            return closing

    def _wrong(self, world: World, ask: Ask, log: Log, draw: random.Random) -> Ask:
        """The same call with one argument that it should not have; as it is where none can be found."""
        choices = [
            (name, other)
            for name, value in ask.arguments.items()
            for other in (self.alternatives or lookalikes)(world, ask, name, log)
            if other != value
        ]
        if not choices:
            return ask
        names = sorted({name for name, _ in choices})
        name = draw.choice(names)
        other = draw.choice([value for key, value in choices if key == name])
        return Ask(ask.name, {**ask.arguments, name: other})


def lookalikes(world: World, ask: Ask, name: str, log: Log) -> Sequence[Any]:
    """What could be mistaken for an argument: other members of its enum, values of its shape, a near number."""
    value = ask.arguments[name]
    schema = world.tools[ask.name].spec.parameters["properties"].get(name, {})
    if "enum" in schema:
        return list(schema["enum"])
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1, value * 10]
    seen = [leaf for _, each in log for leaf in leaves(each.result)]
    if isinstance(value, str):
        return sorted({leaf for leaf in seen if isinstance(leaf, str) and _shape(leaf) == _shape(value)})
    return []


def leaves(value: object) -> list[object]:
    """All single values in a result."""
    if isinstance(value, Mapping):
        return [leaf for item in value.values() for leaf in leaves(item)]
    if isinstance(value, list):
        return [leaf for item in value for leaf in leaves(item)]
    return [value]


def _shape(text: str) -> str:
    return re.sub(r"[a-zA-Z]+", "a", re.sub(r"\d", "0", text))
