"""The beds there are: a name and a seed, and everything else follows."""

from __future__ import annotations

import importlib
import random
from dataclasses import replace
from types import ModuleType

from support.learning_bed.agent import Knobs
from support.learning_bed.bed import Bed
from support.learning_bed.grammar import drawn_requests
from support.learning_bed.negatives import EDITS, negatives
from support.learning_bed.requests import BedRequest
from support.learning_bed.retail import workload as shop
from support.learning_bed.retail import world as shop_world
from support.learning_bed.retail.grammar import GRAMMAR as SHOP_GRAMMAR

OWN = ("ops", "bank", "calendar")
"""Domains whose records are drawn by seed; `retail` needs the public data."""


def domains() -> tuple[str, ...]:
    """The domains that can be used here: `retail` only where its data is."""
    return (*OWN, shop_world.NAME) if shop_world.is_there() else OWN


def bed(name: str, *, seed: int = 0, count: int = 300, knobs: Knobs | None = None, world_seed: int = 0) -> Bed:
    """A domain with requests drawn over its records.

    Args:
        name: One of `domains()`.
        seed: Which requests.
        count: How many; all distinct.
        knobs: What goes wrong with the agent; nothing by default.
        world_seed: Which records, where they are drawn.

    Raises:
        DataAbsent: If the domain's data is not here.
    """
    workload = _module(name, "workload")
    world = workload.the_world(world_seed) if name in OWN else workload.the_world()
    careful = workload.careful_agent()
    requests = drawn_requests(world, workload.GRAMMAR, careful, seed=seed, count=count, prefix=f"{name}-{seed}")
    agent = replace(careful, knobs=knobs or Knobs())
    return Bed(name, world, tuple(requests), agent, workload.GRAMMAR, seed=world_seed)


def public_retail(*, knobs: Knobs | None = None, is_recorded: bool = True) -> Bed:
    """The public retail requests, by an agent that repeats the recordings or one that follows the policy.

    Raises:
        DataAbsent: If the data is not here.
    """
    agent = shop.recording_agent() if is_recorded else shop.careful_agent()
    agent = replace(agent, knobs=knobs or Knobs())
    return Bed("public_retail", shop.the_world(), shop.public_requests(), agent, SHOP_GRAMMAR)


def negatives_of(some: Bed, *, seed: int = 0, count: int = 3000, kinds: tuple[str, ...] = tuple(EDITS)) -> Bed:
    """The same bed with requests that an automation must not serve, made from the bed's own."""
    careful = _module(some.world.name, "workload").careful_agent()
    grammar = _module(some.world.name, "workload").GRAMMAR
    made = negatives(some.world, grammar, careful, some.requests, seed=seed, count=count, kinds=kinds)
    return replace(some, requests=tuple(made), agent=replace(careful, knobs=some.agent.knobs))


def drifted(some: Bed, *, at: int, kind: str) -> Bed:
    """The same bed whose records drift before request `at`; `drifts(name)` tells the kinds."""
    base = _module(some.world.name, "world").base(some.seed, kind)
    return some.shifted(at, some.world_at(at).with_base(base))


def with_changed_tools(some: Bed, *, at: int) -> Bed:
    """The same bed in which a tool that writes has another schema from request `at` on."""
    return some.shifted(at, some.world_at(at).with_tools(_module(some.world.name, "tools_changed")))


def drifts(name: str) -> tuple[str, ...]:
    """The drifts that a domain knows."""
    kinds: tuple[str, ...] = _module(name, "world").DRIFTS
    return kinds


def shuffled(some: Bed, *, seed: int) -> Bed:
    """The same bed with its requests in another order. Shuffle before the world changes."""
    requests: list[BedRequest] = list(some.requests)
    random.Random(f"order:{seed}").shuffle(requests)
    return some.with_requests(tuple(requests))


def _module(name: str, part: str) -> ModuleType:
    if name not in (*OWN, shop_world.NAME):
        raise ValueError(f"There is no bed {name!r}; there are {', '.join(domains())}.")
    return importlib.import_module(f"support.learning_bed.{name}.{part}")
