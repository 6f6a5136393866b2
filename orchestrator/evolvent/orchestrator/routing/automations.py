"""Serves requests by what was learnt: one look into a library in memory, made anew beside the work when it changes.

Whatever is wrong with what was learnt, requests go on as if it were not there. Shown in use by
tests/integration/test_serving_automations.py.
"""

from __future__ import annotations

import asyncio
import gc
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog
from pydantic import ValidationError

from evolvent.events.language.agents import AgentSpec
from evolvent.events.language.learning.automation import Automation, needs_confirmation
from evolvent.events.language.learning.hints import Hint, best_hints, hints_by_scope
from evolvent.events.language.learning.library import Library
from evolvent.events.language.learning.matching import Abstained
from evolvent.events.language.learning.prefetching import Chains, parse_chains, prefetch, usable
from evolvent.events.language.learning.templates import Template, parse_template
from evolvent.events.language.tools import ToolSpec
from evolvent.events.language.workflow import single_agent
from evolvent.events.messages.requests import Request
from evolvent.events.messages.runs import RoutingDecision, ServedBy
from evolvent.orchestrator.routing.router import Route
from evolvent.storage.live_automations import Key, LiveAutomations

POLL_SECONDS = 1.0
_MANY = 500
_BREATH = 5
_log = structlog.get_logger("automations")
ToolsOf = Callable[[AgentSpec, str], Iterable[ToolSpec]]


@dataclass(frozen=True, slots=True)
class _Stock:
    """What was read and what was made of it."""

    revision: int = -1
    automations: Mapping[Key, tuple[str, Automation]] = field(default_factory=dict)
    library: Library = field(default_factory=lambda: Library.of(()))
    chains: Mapping[tuple[str, str], Chains] = field(default_factory=dict)
    hints: Mapping[tuple[str, str], tuple[Hint, ...]] = field(default_factory=dict)


class LearntAutomations:
    """Routes requests to live automations.

    Args:
        source: what is live.
        tools_of: the tools that an agent is offered for a goal, as they are now.
        tells: whether agents are told hints.
        prefetches: whether reads may be made before an agent is asked.
        serves_unlooked: whether requests may be served that write although some word of them is looked at by nothing.
    """

    def __init__(
        self,
        source: LiveAutomations,
        tools_of: ToolsOf,
        *,
        serves_unlooked: bool = False,
        prefetches: bool = True,
        tells: bool = False,
    ) -> None:
        self._source = source
        self._tools_of = tools_of
        self._serves_unlooked = serves_unlooked
        self._prefetches = prefetches
        self._tells = tells
        self._stock = _Stock()
        self._refreshing = asyncio.Lock()
        self._complained: set[str] = set()

    @property
    def library(self) -> Library:
        """What requests are looked up in now."""
        return self._stock.library

    async def route(self, request: Request, goal: str, agent: AgentSpec) -> Route | Abstained | None:
        """Return where an automation takes a request that this agent would serve, or why none does."""
        try:
            return self._routed(request, goal, agent)
        except Exception as error:  # noqa: BLE001  # the agent serves, whatever is wrong with what was learnt
            self._complain("a request could not be looked up", error)
            return None

    async def prepared(self, request: Request, goal: str, route: Route) -> Route:
        """Return the route to an agent with the reads that it is known to begin with, and hints that it is told."""
        try:
            return self._with_hints(request, goal, self._with_reads(request, goal, route))
        except Exception as error:  # noqa: BLE001  # the agent reads by itself
            self._complain("what an agent begins with could not be planned", error)
            return route

    async def refresh(self) -> None:
        """Read what has changed, if anything has, and make the library anew beside the work."""
        async with self._refreshing:
            try:
                await self._refresh()
            except Exception as error:  # noqa: BLE001  # what was known stays in use
                self._complain("what was learnt could not be read", error)

    def _routed(self, request: Request, goal: str, agent: AgentSpec) -> Route | Abstained | None:
        library, scope = self._stock.library, (goal, agent.agent_id)
        if scope not in library.index.scopes:
            return None
        if request.context or request.parameters or request.workflow or request.agent_id not in (None, agent.agent_id):
            return Abstained("the request brings more than words", "more_than_words")
        tools = {spec.name: spec for spec in self._tools_of(agent, goal)}
        found = library.serve(request.message, scope, tools=tools, may_ignore=self._serves_unlooked)
        if isinstance(found, Abstained):
            return found
        if any(each.spec_hash and each.spec_hash != agent.spec_hash for each in found.automations):
            return Abstained("it was learnt from another version of the agent", "agent_changed")
        if needs_confirmation(found.automations) and not self._serves_unlooked:
            return Abstained("it would write, and some word of the request is looked at by nothing", "unconfirmed")
        labels = tuple(f"{each.automation_id}@{each.version}" for each in found.automations)
        name = found.workflow.name
        usual = max(each.expected_tokens_saved for each in found.automations)
        instead = f", in place of about {usual} tokens" if usual else ""
        reason = f"every word of it is known to {', '.join(labels)}{instead}"
        decision = RoutingDecision(served_by=ServedBy.AUTOMATION, chosen=name, reason=reason, automations=labels)
        return Route(decision, workflow=found.workflow, agents={agent.agent_id: agent}, params=found.params)

    def _with_reads(self, request: Request, goal: str, route: Route) -> Route:
        agent = route.spec
        if not self._prefetches or agent is None or route.workflow is not None or route.error is not None:
            return route
        chains = self._stock.chains.get((goal, agent.agent_id))
        if chains is None:
            return route
        tools = {spec.name: spec for spec in self._tools_of(agent, goal)}
        workflow = prefetch(usable(chains, tools), request.message)
        if workflow is None:
            return route
        decision = route.decision.model_copy(update={"prefetched": len(workflow.tasks) - 1})
        return Route(decision, spec=agent, workflow=workflow, agents={agent.agent_id: agent})

    def _with_hints(self, request: Request, goal: str, route: Route) -> Route:
        agent = route.spec
        if not self._tells or agent is None or route.error is not None:
            return route
        hints = self._stock.hints.get((goal, agent.agent_id), ())
        tools = {spec.name: spec for spec in self._tools_of(agent, goal)} if hints else {}
        fit = best_hints(hints, request.message, tools)
        if not fit:
            return route
        told = {"instructions": "\n".join(hint.line for hint in fit)}
        workflow = route.workflow or single_agent(agent.agent_id)
        tasks = tuple(task.model_copy(update=told) if task.agent_id else task for task in workflow.tasks)
        takeover = workflow.takeover.model_copy(update=told) if workflow.takeover is not None else None
        workflow = workflow.model_copy(update={"tasks": tasks, "takeover": takeover})
        decision = route.decision.model_copy(update={"hints": tuple(hint.label for hint in fit)})
        return Route(decision, spec=agent, workflow=workflow, agents={agent.agent_id: agent})

    async def _refresh(self) -> None:
        before = self._stock
        revision = await self._source.revision()
        if revision == before.revision:
            return
        keys = await self._source.keys()
        kept = {key: known for key, known in before.automations.items() if keys.get(key) == known[0]}
        documents = await self._source.documents(keys.keys() - kept.keys())
        small_talk = await self._source.small_talk()
        automations, library, broken = await asyncio.to_thread(_made, kept, keys, documents, small_talk)
        chains = self._chains_of(await self._source.chains())
        hints = hints_by_scope(each for _, each in automations.values())
        self._stock = _Stock(revision, automations, library, chains, hints)
        for what, error in broken:
            self._complain(what, error)
        _log.info("library", revision=revision, automations=len(automations), templates=library.index.size)

    def _chains_of(self, documents: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], Chains]:
        found: dict[tuple[str, str], Chains] = {}
        for document in documents:
            try:
                chains = parse_chains(document)
            except ValidationError as error:
                self._complain("the reads that runs begin with cannot be read", error)
            else:
                found[chains.scope] = chains
        return found

    def _complain(self, what: str, error: Exception) -> None:
        """Say it once: what is broken stays so, and is met at every request."""
        said = f"{what}: {type(error).__name__}"
        if said not in self._complained:
            self._complained.add(said)
            _log.warning(what, error=str(error)[:300], then="requests go on without it")


_Read = tuple[dict[Key, tuple[str, Automation]], Library, list[tuple[str, Exception]]]


def _made(
    kept: Mapping[Key, tuple[str, Automation]],
    keys: Mapping[Key, str],
    documents: Mapping[Key, str],
    small_talk: Iterable[Mapping[str, Any]],
) -> _Read:
    """Read the new documents and index everything; what cannot be read is left out, and said.

    Of many, no object is looked at by the garbage collector, then or later: a full collection of them stops the
    process for half a second, and they live as long as it does.
    """
    if len(documents) < _MANY:
        return _read(kept, keys, documents, small_talk)
    gc.disable()
    try:
        found = _read(kept, keys, documents, small_talk)
        gc.freeze()
        return found
    finally:
        gc.enable()


def _read(
    kept: Mapping[Key, tuple[str, Automation]],
    keys: Mapping[Key, str],
    documents: Mapping[Key, str],
    small_talk: Iterable[Mapping[str, Any]],
) -> _Read:
    automations = dict(kept)
    broken: list[tuple[str, Exception]] = []
    for number, (key, document) in enumerate(documents.items()):
        if number % _BREATH == 0:
            time.sleep(0)  # lets the loop have the interpreter before the usual 5 ms are over
        try:
            automation = Automation.model_validate_json(document)
            Library.of([automation])
            automations[key] = (keys[key], automation)
        except (ValidationError, re.error) as error:
            broken.append((f"automation {key[0]}@{key[1]} cannot be read", error))
    said: list[Template] = []
    for each in small_talk:
        try:
            said.append(parse_template(each))
        except ValidationError as error:
            broken.append(("a template of small talk cannot be read", error))
    ordered = [automations[key][1] for key in sorted(automations)]
    return automations, Library.of(ordered, said), broken
