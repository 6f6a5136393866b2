"""Pure: what the bus is told of learning. The same fact has the same event_id, so that told twice is known as once."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from evolvent.events.language.learning.automation import Automation
from evolvent.events.messages.platform import (
    AutomationCreated,
    AutomationPromoted,
    AutomationProposed,
    AutomationRolledBack,
    PatternDiscovered,
)
from evolvent.storage.automations import StoredAutomation

_NAMESPACE = uuid.UUID("7f1e3f0a-58a1-5c0e-9a41-2a1d4b3c6e55")
_SOURCE = "learner"
SHOWN_RUNS = 50
PATTERN_ID = 16
"""So many letters of a signature name a pattern."""


def discovered(signature: str, support: int, runs: tuple[str, ...], *, now: datetime) -> PatternDiscovered:
    """Say that a signature was seen often enough."""
    return PatternDiscovered(
        **_envelope(now, "discovered", signature),
        pattern_id=signature[:PATTERN_ID],
        signature=signature,
        support=support,
        run_ids=runs[:SHOWN_RUNS],
    )


def proposed(automation: Automation, *, now: datetime) -> AutomationProposed:
    """Say that an automation was compiled."""
    return AutomationProposed(**_about(automation, now, "proposed"))


def created(automation: Automation, *, now: datetime) -> AutomationCreated:
    """Say that an automation was stored."""
    return AutomationCreated(**_about(automation, now, "created"))


def promoted(stored: StoredAutomation, *, now: datetime) -> AutomationPromoted:
    """Say that a version is in its stage since it was decided so."""
    stage = stored.status
    return AutomationPromoted(
        **_about(stored.automation, now, f"promoted {stage} {stored.decided_at.isoformat()}"), stage=stage
    )


def rolled_back(automation: Automation, reason: str, *, now: datetime) -> AutomationRolledBack:
    """Say that a version was taken out of service."""
    return AutomationRolledBack(**_about(automation, now, f"rolled back {now.isoformat()}"), reason=reason)


def _about(automation: Automation, now: datetime, what: str) -> dict[str, Any]:
    key = f"{automation.automation_id}@{automation.version}"
    own = {"automation_id": automation.automation_id, "version": automation.version}
    return {**_envelope(now, what, key), **own}


def _envelope(now: datetime, what: str, about: str) -> dict[str, Any]:
    event_id = str(uuid.uuid5(_NAMESPACE, f"{what} {about}"))
    return {"event_id": event_id, "occurred_at": now, "source": _SOURCE}
