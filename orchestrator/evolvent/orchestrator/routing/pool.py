"""The agents of a goal with what is on record about them, as it was at most two seconds ago.

A refresh reads the hashes of a goal's agents, the specs that are new, their totals, the latest ratings, and how many
turns each has in hand; a choice in between reads nothing. The free places are asked of a loader: with several of them
that is a sample; where none answers, all places count as free.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from evolvent.events import subjects
from evolvent.events.clock import Clock
from evolvent.events.errors import EvolventError
from evolvent.events.language.agents import AgentSpec
from evolvent.events.messages.calls import AgentLoads
from evolvent.events.nats_bus import NatsBus
from evolvent.orchestrator.routing.selection import Candidate, Standing
from evolvent.storage.agent_records import AgentRecord, AgentRecords, Rating
from evolvent.storage.agent_roster import AgentRoster

FRESH_SECONDS = 2.0
MOST_AGENTS = 1_000
"""Agents of one goal that are looked at; people's own come first."""
_GOALS_KEPT = 1_000
_LOAD_SECONDS = 0.5
_OWN_RATINGS = 20
Ratings = Mapping[str, Mapping[str | None, tuple[int, ...]]]


@dataclass(slots=True)
class _Known:
    """A goal's agents as they were at a time."""

    at: float
    candidates: dict[str, Candidate] = field(default_factory=dict)


class AgentPool:
    """Knows the agents of goals for two seconds at a time."""

    def __init__(self, bus: NatsBus, roster: AgentRoster, records: AgentRecords | None, clock: Clock) -> None:
        self._bus = bus
        self._roster = roster
        self._records = records
        self._clock = clock
        self._goals: OrderedDict[str, _Known] = OrderedDict()
        self._shared_at = -FRESH_SECONDS
        self._ratings: Ratings = {}
        self._loads: Mapping[str, int] = {}

    async def candidates(self, goal: str, user_id: str | None = None) -> list[Candidate]:
        """Return the active agents of a goal; whose request it is decides whose ratings count most."""
        known = self._goals.get(goal)
        now = self._clock.monotonic()
        if known is None or now - known.at >= FRESH_SECONDS:
            known = await self._read(goal, known)
        found = list(known.candidates.values())
        return found if user_id is None else [self._for_user(candidate, user_id) for candidate in found]

    def add(self, goal: str, spec: AgentSpec) -> None:
        """Know an agent that was stored just now."""
        known = self._goals.setdefault(goal, _Known(self._clock.monotonic()))
        known.candidates[spec.agent_id] = Candidate.of(spec)

    async def _read(self, goal: str, before: _Known | None) -> _Known:
        now = self._clock.monotonic()
        hashes = await self._roster.active(goal, most=MOST_AGENTS)
        kept = before.candidates if before is not None else {}
        new = {name: h for name, h in hashes.items() if name not in kept or kept[name].spec.spec_hash != h}
        specs = await self._roster.specs(new) if new else {}
        known = {name: kept[name] for name in hashes if name in kept and name not in new}
        known |= {name: Candidate.of(spec) for name, spec in specs.items()}
        if known:
            await self._read_shared(now)
            totals = await self._records.totals(list(known)) if self._records is not None else {}
            known = {name: replace(c, standing=self._standing(name, totals.get(name))) for name, c in known.items()}
            self._goals[goal] = _Known(now, known)
            self._goals.move_to_end(goal)
            if len(self._goals) > _GOALS_KEPT:
                self._goals.popitem(last=False)
        else:
            self._goals.pop(goal, None)
        return _Known(now, known)

    async def _read_shared(self, now: float) -> None:
        if now - self._shared_at < FRESH_SECONDS:
            return
        self._shared_at = now
        self._ratings = _by_agent(await self._records.ratings()) if self._records is not None else {}
        try:
            subject = subjects.endpoint("loader", "loads")
            data = await self._bus.call(subject, b"{}", timeout_seconds=_LOAD_SECONDS)
            self._loads = AgentLoads.decode(data).in_hand
        except EvolventError:
            self._loads = {}

    def _standing(self, agent_id: str, record: AgentRecord | None) -> Standing:
        record = record or AgentRecord()
        led = record.runs > 0
        given = self._ratings.get(agent_id, {})
        return Standing(
            tries=record.runs if led else record.turns,
            successes=record.successes if led else record.turns - record.failed_turns,
            mean_cost=record.cost_microusd / record.turns if record.turns else None,
            mean_seconds=record.busy_seconds / record.turns if record.turns else None,
            in_hand=self._loads.get(agent_id, 0),
            ratings=tuple(rating for ratings in given.values() for rating in ratings),
        )

    def _for_user(self, candidate: Candidate, user_id: str) -> Candidate:
        own = self._ratings.get(candidate.spec.agent_id, {}).get(user_id, ())
        if not own:
            return candidate
        return replace(candidate, standing=replace(candidate.standing, own_ratings=own[:_OWN_RATINGS]))


def _by_agent(ratings: list[Rating]) -> Ratings:
    found: defaultdict[str, defaultdict[str | None, list[int]]] = defaultdict(lambda: defaultdict(list))
    for rating in ratings:
        found[rating.agent_id][rating.user_id].append(rating.rating)
    return {agent: {user: tuple(given) for user, given in by_user.items()} for agent, by_user in found.items()}
