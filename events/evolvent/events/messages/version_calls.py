"""Service calls about versions of workflows, agents and automations: what changed, and which one is used."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from evolvent.events.envelope import Message

VersionKind = Literal["workflow", "agent", "automation"]


class VersionsQuery(Message):
    """improvement.versions: of everything, of a kind, or of one thing; the latest first."""

    kind: VersionKind | None = None
    item_id: str | None = Field(default=None, max_length=200)
    status: str | None = Field(default=None, max_length=40)
    limit: int = Field(default=100, gt=0, le=1000)


class VersionRow(Message):
    """A version: where it comes from, and what was decided of it last. `in_use`: new runs begin with it."""

    kind: str
    item_id: str
    version: int
    parent: int | None = None
    status: str = ""
    in_use: bool = False
    source: str
    by: str
    note: str = ""
    reason: str = ""
    content_hash: str
    created_at: str


class VersionList(Message):
    """What improvement.versions gives."""

    versions: tuple[VersionRow, ...] = ()


class VersionQuery(Message):
    """improvement.version: which; the newest one where none is named."""

    kind: VersionKind
    item_id: str = Field(min_length=1, max_length=200)
    version: int | None = Field(default=None, ge=1)


class ReceiptView(Message):
    """What was checked or decided of a version, by whom, and on what evidence."""

    status: str
    by: str
    at: str
    reason: str = ""
    evidence: dict[str, Any] = {}


class VersionView(Message):
    """What improvement.version gives: also what it changed against its parent, as a unified diff, and its receipts."""

    version: VersionRow
    changes: str = ""
    receipts: tuple[ReceiptView, ...] = ()


class VersionDiffQuery(Message):
    """improvement.version_diff: two versions of one thing."""

    kind: VersionKind
    item_id: str = Field(min_length=1, max_length=200)
    before: int = Field(ge=1)
    after: int = Field(ge=1)


class VersionDiff(Message):
    """What improvement.version_diff gives; empty where both are the same."""

    diff: str = ""


class RollBackVersion(Message):
    """improvement.roll_back: let new runs begin with a version of before. Runs under way keep theirs."""

    kind: VersionKind
    item_id: str = Field(min_length=1, max_length=200)
    to: int = Field(ge=1)
    reason: str = Field(default="", max_length=2000)


class DecideImprovement(Message):
    """improvement.decide_improvement: apply a proposed version of an agent, or decline it."""

    agent_id: str = Field(min_length=1, max_length=64)
    version: int = Field(ge=1)
    decision: Literal["approve", "decline"]
    reason: str = Field(default="", max_length=2000)


class Unlearn(Message):
    """improvement.unlearn: a run_id, or KIND:NAME with user, principal, session, tool or label."""

    what: str = Field(min_length=1, max_length=300)


class Unlearnt(Message):
    """What improvement.unlearn gives: what was taken out of service, and what was learnt again without those runs."""

    what: str
    runs: int = 0
    signatures: int = 0
    rolled_back: tuple[str, ...] = ()
    declined: tuple[str, ...] = ()
    learnt_again: tuple[str, ...] = ()
