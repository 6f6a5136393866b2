"""Service calls about what is learnt: patterns, automations, and what a person decides about them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from evolvent.events.envelope import Message

Decision = Literal["approve", "disable", "rollback"]


class LearnReply(Message):
    """What improvement.learn gives: what came of one batch of finished runs. `more`: there are others, ask again.

    `refused` says of each signature that was looked at and taught nothing why.
    """

    runs: int = 0
    signatures: int = 0
    disputed: int = 0
    nominated: int = 0
    proposed: int = 0
    live: int = 0
    withdrawn: int = 0
    refused: dict[str, str] = {}
    more: bool = False
    is_off: bool = False


class PatternsQuery(Message):
    """improvement.patterns: those with at least so many successful runs, best supported first."""

    min_support: int = Field(default=1, ge=1)
    limit: int = Field(default=50, gt=0, le=500)


class PatternQuery(Message):
    """improvement.pattern: which; the beginning of its id is enough where only one begins so."""

    pattern_id: str = Field(min_length=1, max_length=128)


class PatternRow(Message):
    """Work that comes again. `words` are those of the request without its values, `work` what was done.

    `automation` is `ID@VERSION` where there is one with `status`; else `why` says why there is none.
    """

    pattern_id: str
    words: str
    work: str
    support: int
    principals: int
    sessions: int
    disputed: int
    last_at: str
    automation: str = ""
    status: str = ""
    why: str = ""


class PatternList(Message):
    """What improvement.patterns gives."""

    patterns: tuple[PatternRow, ...] = ()


class PatternView(Message):
    """What improvement.pattern gives: also its runs, latest first, and how far the same words did the same."""

    pattern: PatternRow
    goal: str
    agent_id: str
    agreement: float = 0.0
    runs: tuple[str, ...] = ()
    disputed_runs: tuple[str, ...] = ()
    rivals: tuple[str, ...] = ()
    """Other patterns with the same words."""


class AutomationsQuery(Message):
    """improvement.automations: those in a status, or of each the live version, else the newest."""

    status: str | None = None
    limit: int = Field(default=200, gt=0, le=1000)


class AutomationQuery(Message):
    """improvement.automation: which; the newest version where none is named."""

    automation_id: str = Field(min_length=1, max_length=128)
    version: int | None = Field(default=None, ge=1)


class AutomationRow(Message):
    """A version of an automation and how it does."""

    automation_id: str
    name: str
    version: int
    kind: str
    status: str
    effect: str
    goal: str
    served: int = 0
    wrong: int = 0
    deoptimized: int = 0
    tokens_saved: int = 0
    source_runs: int = 0
    reason: str = ""
    decided_by: str = ""
    decided_at: str = ""
    created_at: str = ""


class AutomationList(Message):
    """What improvement.automations gives."""

    automations: tuple[AutomationRow, ...] = ()


class AutomationView(Message):
    """What improvement.automation gives: the whole document, what was checked, and every version."""

    row: AutomationRow
    document: dict[str, Any]
    receipts: tuple[dict[str, Any], ...] = ()
    versions: tuple[AutomationRow, ...] = ()


class DecideAutomation(Message):
    """improvement.decide: approve a version, take one out of service, or go back to the version before the live one."""

    automation_id: str = Field(min_length=1, max_length=128)
    decision: Decision
    version: int | None = Field(default=None, ge=1)
    reason: str = Field(default="", max_length=2000)
