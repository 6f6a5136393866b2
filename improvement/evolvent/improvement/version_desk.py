"""Answers for versions of workflows, agents and automations: lists, shows, compares, goes back, applies proposals."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from evolvent.events.bus import Call
from evolvent.events.clock import Clock
from evolvent.events.errors import Category, EvolventError
from evolvent.events.messages.platform import ImprovementApplied
from evolvent.events.messages.version_calls import (
    DecideImprovement,
    ReceiptView,
    RollBackVersion,
    VersionDiff,
    VersionDiffQuery,
    VersionList,
    VersionQuery,
    VersionRow,
    VersionsQuery,
    VersionView,
)
from evolvent.events.service import Endpoint
from evolvent.improvement.learning_events import promoted, rolled_back
from evolvent.improvement.proposing import Emit
from evolvent.storage.agent_versions import AgentVersions
from evolvent.storage.agent_versions import document_of as agent_document
from evolvent.storage.automations import UNLEARNT, AutomationStore
from evolvent.storage.database import Database
from evolvent.storage.improvements import FeedbackStatus, ImprovementStore
from evolvent.storage.version_changes import changes
from evolvent.storage.versions import StoredVersion, VersionStore
from evolvent.storage.workflows import WorkflowStore
from evolvent.storage.workflows import document_of as workflow_document

_OPERATOR = "operator"
_SOURCE = "improvement"
_NAMESPACE = uuid.UUID("b2f7c1de-0a55-5c8e-8f0a-54c9f8f0f6d1")


class MayNotReturn(EvolventError):
    """This version stands on runs that were unlearnt; it may not serve again. Nothing was changed."""

    code, category = "version.unlearnt", Category.VALIDATION


class NotProposed(EvolventError):
    """This version is not proposed, so there is nothing to decide; `evolvent versions rollback` goes to any version."""

    code, category = "version.not_proposed", Category.VALIDATION


class VersionDesk:
    """The endpoints of versions, at any instance."""

    def __init__(self, records: Database, definitions: Database, *, clock: Clock, emit: Emit) -> None:
        self._said = ImprovementStore(records)
        self._tree = VersionStore(definitions)
        self._workflows = WorkflowStore(definitions, clock)
        self._agents = AgentVersions(definitions, clock)
        self._automations = AutomationStore(definitions, clock)
        self._clock = clock
        self._emit = emit

    def endpoints(self) -> Mapping[str, Endpoint]:
        """Return what is answered, by name."""
        return {
            "versions": self._list,
            "version": self._show,
            "version_diff": self._diff,
            "roll_back": self._roll_back,
            "decide_improvement": self._decide,
        }

    async def _list(self, call: Call) -> bytes:
        query = VersionsQuery.decode(call.data or b"{}")
        found = await self._tree.list(query.kind, query.item_id, status=query.status, limit=query.limit)
        current: dict[tuple[str, str], int | None] = {}
        for each in found:
            if (key := (each.kind, each.item_id)) not in current:
                current[key] = await self._in_use(*key)
        rows = [_row(each, in_use=current[each.kind, each.item_id] == each.version) for each in found]
        return VersionList(versions=tuple(rows)).encode()

    async def _show(self, call: Call) -> bytes:
        query = VersionQuery.decode(call.data)
        return (await self._view(query.kind, query.item_id, query.version)).encode()

    async def _diff(self, call: Call) -> bytes:
        query = VersionDiffQuery.decode(call.data)
        both = query.before, query.after
        before, after = [await self._document(query.kind, query.item_id, version) for version in both]
        names = f"{query.item_id}@{query.before}", f"{query.item_id}@{query.after}"
        return VersionDiff(diff=changes(before, after, names=names)).encode()

    async def _roll_back(self, call: Call) -> bytes:
        asked = RollBackVersion.decode(call.data)
        if asked.kind == "automation":
            version = await self._roll_back_automation(asked)
        elif asked.kind == "agent":
            version = await self._agents.roll_back(asked.item_id, to=asked.to, by=_OPERATOR)
        else:
            version = (await self._workflows.roll_back(asked.item_id, to=asked.to, by=_OPERATOR)).version
        if asked.kind != "automation":
            await self._applied(f"{asked.kind}:{asked.item_id}@{version}", f"went back to version {asked.to}")
        return (await self._view(asked.kind, asked.item_id, version)).encode()

    async def _roll_back_automation(self, asked: RollBackVersion) -> int:
        """Let a version serve in place of the live one. One is live at every moment, whoever dies in between."""
        chosen = await self._automations.get(asked.item_id, asked.to)
        if chosen.status == "rolled_back" and chosen.decided_by == UNLEARNT:
            raise MayNotReturn
        versions = await self._automations.versions(asked.item_id)
        live = [each for each in versions if each.status == "live" and each.automation.version != asked.to]
        if chosen.status != "live":
            reason = asked.reason or f"A person went back to version {asked.to}."
            chosen = await self._automations.set_status(asked.item_id, asked.to, "live", by=_OPERATOR, reason=reason)
            await self._emit(promoted(chosen, now=chosen.decided_at))
        for each in live:
            reason = asked.reason or f"A person went back to version {asked.to}."
            stored = await self._automations.set_status(
                *(asked.item_id, each.automation.version, "rolled_back"), by=_OPERATOR, reason=reason
            )
            await self._emit(rolled_back(stored.automation, reason, now=stored.decided_at))
        return asked.to

    async def _decide(self, call: Call) -> bytes:
        asked = DecideImprovement.decode(call.data)
        found = await self._tree.get("agent", asked.agent_id, asked.version)
        approves = asked.decision == "approve"
        if found.status != "proposed" and found.status != ("applied" if approves else "declined"):
            raise NotProposed
        target = f"agent:{asked.agent_id}@{asked.version}"
        if approves:
            await self._agents.apply(asked.agent_id, asked.version, by=_OPERATOR, reason=asked.reason)
            await self._applied(target, found.note)
        elif found.status == "proposed":
            await self._agents.decline(asked.agent_id, asked.version, by=_OPERATOR, reason=asked.reason)
        await self._tell(target, "applied" if approves else "declined", asked.reason)
        return (await self._view("agent", asked.agent_id, asked.version)).encode()

    async def _tell(self, target: str, status: FeedbackStatus, reason: str) -> None:
        """Note with the feedback that asked for it what became of a proposal."""
        words = f"{'Applied' if status == 'applied' else 'Declined'}{': ' + reason if reason else '.'}"
        await self._said.close_proposals(target, status, words)

    async def _applied(self, target: str, detail: str) -> None:
        now = self._clock.now()
        event_id = str(uuid.uuid5(_NAMESPACE, f"{target} {now.isoformat()}"))
        await self._emit(
            ImprovementApplied(event_id=event_id, occurred_at=now, source=_SOURCE, target=target, detail=detail)
        )

    async def _document(self, kind: str, item_id: str, version: int) -> dict[str, Any]:
        if kind == "agent":
            return agent_document(await self._agents.spec(item_id, version))
        if kind == "workflow":
            return workflow_document((await self._workflows.get(item_id, version=version)).workflow)
        stored = await self._automations.get(item_id, version)
        return stored.automation.model_dump(mode="json", exclude={"version"}, exclude_defaults=True)

    async def _in_use(self, kind: str, item_id: str) -> int | None:
        if kind == "agent":
            return (await self._agents.current(item_id))[0]
        if kind == "workflow":
            return (await self._workflows.get(item_id)).version
        versions = await self._automations.versions(item_id)
        return next((each.automation.version for each in versions if each.status == "live"), None)

    async def _view(self, kind: str, item_id: str, version: int | None) -> VersionView:
        found = await self._tree.get(kind, item_id, version)
        row = _row(found, in_use=await self._in_use(kind, item_id) == found.version)
        receipts = tuple(
            ReceiptView(
                status=each.status, by=each.by, at=each.at.isoformat(), reason=each.reason, evidence=dict(each.evidence)
            )
            for each in found.receipts
        )
        return VersionView(version=row, changes=found.changes, receipts=receipts)


def _row(found: StoredVersion, *, in_use: bool) -> VersionRow:
    return VersionRow(
        kind=found.kind,
        item_id=found.item_id,
        version=found.version,
        parent=found.parent,
        status=found.status or ("in use" if in_use else ""),
        in_use=in_use,
        source=found.source,
        by=found.by,
        note=found.note,
        reason=found.receipts[-1].reason if found.receipts else "",
        content_hash=found.content_hash,
        created_at=found.created_at.isoformat(),
    )
