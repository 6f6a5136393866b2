"""Which ready task of an adaptive workflow goes first: what is known of durations and loads, and the users' rules.

A rule is a function (workflow, ready tasks) -> boosts, named in the settings as `module:function`. A rule that fails
counts for nothing and is told in the log once; the others still count.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import structlog

from evolvent.events.errors import Category, EvolventError
from evolvent.events.language.adaptation import BUILT_IN_RULES, Boost, ReadyTask, Rule, ready_order, ways
from evolvent.events.language.places import Order
from evolvent.events.language.workflow import ExecutionMode, Workflow
from evolvent.storage.workflow_records import WorkflowRecords

_log = structlog.get_logger(__name__)
Loads = Callable[[Workflow, Sequence[str]], Mapping[str, float]]


class RuleInvalid(EvolventError):
    """A rule of `orchestrator.adaptation_rules` cannot be loaded; name it as `module:function`."""

    code, category = "settings.rule", Category.VALIDATION


class Urgency:
    """Makes the order of a run's ready tasks."""

    def __init__(self, records: WorkflowRecords | None = None, rules: Sequence[Rule] = ()) -> None:
        self._records = records
        self._rules: Final[tuple[Rule, ...]] = (*BUILT_IN_RULES, *(_Guarded(rule) for rule in rules))

    async def order_for(self, workflow: Workflow, loads: Loads) -> Order:
        """Return the order for one run, from what its workflow's tasks were seen to take."""
        if workflow.mode is not ExecutionMode.ADAPTIVE:
            return _as_it_is
        seen = await self._records.durations(workflow.name) if self._records is not None else {}
        known = ways(workflow, {name: each.seconds for name, each in seen.items()})

        def order(current: Workflow, ready: Sequence[str]) -> Sequence[str]:
            if current is not workflow:
                return ready
            return ready_order(workflow, ready, known, loads=loads(workflow, ready), rules=self._rules)

        return order


def load_rules(names: Sequence[str]) -> tuple[Rule, ...]:
    """Return the rules that are named.

    Raises:
        RuleInvalid: naming the first that cannot be loaded, and why.
    """
    return tuple(_load(name) for name in names)


def _load(name: str) -> Rule:
    module, _, attribute = name.partition(":")
    try:
        rule: Rule = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        message = f"The adaptation rule {name!r} cannot be loaded: {error}; name it as `module:function`."
        raise RuleInvalid(message) from error
    if not callable(rule):
        raise RuleInvalid(f"The adaptation rule {name!r} is no function.")
    return rule


def _as_it_is(_workflow: Workflow, ready: Sequence[str]) -> Sequence[str]:
    return ready


class _Guarded:
    """A user's rule, whose errors end nothing."""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._told = False

    def __call__(self, workflow: Workflow, ready: Sequence[ReadyTask]) -> Sequence[Boost]:
        try:
            return [boost for boost in self._rule(workflow, ready) if isinstance(boost, Boost)]
        except Exception as error:  # noqa: BLE001  # it is not our code
            if not self._told:
                _log.warning("adaptation rule failed", rule=getattr(self._rule, "__name__", "?"), error=str(error))
            self._told = True
            return []
