"""From a workflow's name to what can run: the version asked for, checked, with its nested workflows put in place.

What was worked out is kept by the contents it was worked out from, and names are looked up every two seconds: so a new
version takes the next runs, and a large workflow is checked once.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from evolvent.events.clock import Clock
from evolvent.events.errors import NotFound
from evolvent.events.language.json_schemas import bind_parameters
from evolvent.events.language.tools import ToolSpec
from evolvent.events.language.validation import problems
from evolvent.events.language.workflow import Workflow
from evolvent.events.language.workflow_problems import WorkflowInvalid
from evolvent.orchestrator.logs.absence import told_once
from evolvent.orchestrator.workflows.inlining import inline, nested_names, set_apart
from evolvent.storage.workflows import WorkflowStore

K = TypeVar("K")
V = TypeVar("V")
FRESH_SECONDS = 2.0
_KEPT = 200
_PINNED = re.compile(r"(.+)@([0-9]{1,9})")


@dataclass(frozen=True, slots=True)
class Resolved:
    """A workflow that can run, as flat as the engine wants it; `label` is NAME@VERSION."""

    label: str
    workflow: Workflow
    fallback: Workflow | None = None


class WorkflowResolver:
    """Finds workflows by name and makes them ready to run."""

    def __init__(
        self, store: WorkflowStore, clock: Clock, tools: Callable[[], Mapping[str, ToolSpec]] | None = None
    ) -> None:
        self._store = store
        self._clock = clock
        self._tools = tools
        self._by_name: OrderedDict[str, tuple[float, Resolved]] = OrderedDict()
        self._by_contents: OrderedDict[tuple[str, ...], Resolved] = OrderedDict()

    async def resolve(self, name: str) -> Resolved:
        """Return the workflow that a name, or NAME@VERSION, stands for.

        Raises:
            NotFound: there is no such workflow or version.
            WorkflowInvalid: it cannot run, or one that it names cannot.
        """
        now = self._clock.monotonic()
        known = self._by_name.get(name)
        if known is not None and now - known[0] < FRESH_SECONDS:
            return known[1]
        pinned = _PINNED.fullmatch(name)
        stored = await self._store.get(pinned[1] if pinned else name, version=int(pinned[2]) if pinned else None)
        workflow = stored.workflow.model_copy(update={"version": stored.version})
        others = await self._others(workflow)
        key = (f"{workflow.name}@{stored.version}", workflow.workflow_hash, *(o.workflow_hash for o in others.values()))
        found = self._by_contents.get(key) or self._made(key[0], workflow, others)
        _keep(self._by_contents, key, found)
        _keep(self._by_name, name, (now, found))
        return found

    async def _others(self, workflow: Workflow) -> dict[str, Workflow]:
        """Return the current versions of all workflows that this one reaches; those that are not there are left out."""
        found: dict[str, Workflow] = {}
        waiting = [workflow]
        while waiting:
            for name in _targets(waiting.pop()):
                if name in found or name == workflow.name:
                    continue
                try:
                    found[name] = (await self._store.get(name)).workflow
                except NotFound:
                    continue
                waiting.append(found[name])
        return found

    def _made(self, label: str, workflow: Workflow, others: Mapping[str, Workflow]) -> Resolved:
        tools = self._tools() if self._tools is not None else None
        for each in (workflow, *others.values()):
            found = problems(each, tools, workflows={**others, workflow.name: workflow})
            if found:
                raise WorkflowInvalid(told_once(found, tools or {}), name=each.name)
        flat = inline(workflow, others)
        fallback = others.get(workflow.fallback_workflow or "")
        return Resolved(label, flat, set_apart(inline(fallback, others), flat) if fallback is not None else None)


def parameters_of(resolved: Resolved, given: Mapping[str, object]) -> dict[str, object]:
    """Return what `${params.…}` is in the run: what was given, and the defaults.

    Raises:
        ParametersInvalid: naming everything that does not fit the workflow, or its fallback.
    """
    bound = bind_parameters(resolved.workflow.parameters, given)
    if resolved.fallback is None:
        return bound
    properties = resolved.fallback.parameters.get("properties")
    wanted = properties if isinstance(properties, dict) else {}
    return {**bind_parameters(resolved.fallback.parameters, {k: v for k, v in bound.items() if k in wanted}), **bound}


def _targets(workflow: Workflow) -> tuple[str, ...]:
    return (*nested_names(workflow), *((workflow.fallback_workflow,) if workflow.fallback_workflow else ()))


def _keep(kept: OrderedDict[K, V], key: K, value: V) -> None:
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > _KEPT:
        kept.popitem(last=False)
