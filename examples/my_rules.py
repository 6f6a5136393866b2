"""A rule of one's own for adaptive workflows: which of the ready tasks goes first.

    PYTHONPATH=examples EVOLVENT_ORCHESTRATOR__ADAPTATION_RULES='["my_rules:critical_path_first"]' evolvent up

A rule is pure: it sees the workflow and what is ready, and answers with boosts. adaptation_rule.py shows what it does.
"""

from collections.abc import Sequence

from evolvent.events.language.adaptation import Boost, ReadyTask
from evolvent.events.language.workflow import Workflow


def critical_path_first(workflow: Workflow, ready: Sequence[ReadyTask]) -> Sequence[Boost]:
    """Let what everything else waits for go first: +20, beside the +20 that the platform gives it by itself."""
    return [Boost(each.task_id, 20) for each in ready if each.is_critical]
