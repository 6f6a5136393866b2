"""The recorder: every stream of the bus into SQL, each message once. A projection; nothing waits for it.

Owns the records of runs, events, commands and dead letters, and is the only one that purges journals.
Does not know what runs mean: `projections` does. Shown in use by tests/integration/test_recorder.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import ClassVar

from pydantic import ValidationError
from pydantic_core import from_json

from evolvent.events import subjects
from evolvent.events.bus import Delivery
from evolvent.events.clock import Clock
from evolvent.events.dead_letters import bury
from evolvent.events.errors import EvolventError, InvalidMessage, InvalidSubject
from evolvent.events.fault_points import reach
from evolvent.events.messages.runs import read_run_event
from evolvent.events.nats_bus import NatsBus
from evolvent.events.principal import principal_of
from evolvent.events.service import Consume, Service
from evolvent.events.streams import COMMANDS, RUNS, DurableSpec, durables
from evolvent.storage.archive import Archive, DeadLetter, StoredCommand, StoredEvent
from evolvent.storage.database import Database
from evolvent.storage.errors import StorageRefused
from evolvent.storage.projections import Gap, JournalEntry
from evolvent.storage.run_parts import clean
from evolvent.storage.runs import RunStore

_BATCH = 500
_LINGER_SECONDS = 0.02
"""Nobody waits for the records: one transaction for a run's events, and for those of its neighbours."""
_PURGE_SECONDS = 60.0
_PURGE_MARGIN = 1000
_PENDING_COUNTS = timedelta(days=1)
"""How long a command for a run that has not begun is kept for it."""
_HOLD_JOURNALS = ("recorder_runs", "resources_runs")


class Recorder(Service):
    """Takes batches off the streams, commits each in one transaction, then acks."""

    name: ClassVar[str] = "recorder"
    description: ClassVar[str] = "Every run, event, command and dead letter in SQL."

    def __init__(
        self,
        bus: NatsBus,
        records: Database,
        *,
        clock: Clock | None = None,
        heartbeat_seconds: float = 3.0,
        ack_wait_seconds: float = 10.0,
        purge_margin: int = _PURGE_MARGIN,
    ) -> None:
        super().__init__(bus, clock=clock, heartbeat_seconds=heartbeat_seconds)
        self.runs = RunStore(records)
        self.archive = Archive(records)
        self._purge_margin = purge_margin
        self._durables: dict[str, DurableSpec] = {durable.name: durable for durable in durables(ack_wait_seconds)}

    def consumers(self) -> Sequence[Consume]:
        """One batch at a time of each stream: the database has one writer anyway."""
        return (
            Consume(self._durables["recorder_runs"], self._on_runs, batch=_BATCH, linger_seconds=_LINGER_SECONDS),
            Consume(self._durables["recorder_events"], self._on_events, batch=_BATCH, linger_seconds=_LINGER_SECONDS),
            Consume(self._durables["recorder_commands"], self._on_commands, batch=_BATCH),
            Consume(self._durables["recorder_dead"], self._on_dead, batch=_BATCH),
        )

    async def on_start(self) -> None:
        """Begin to purge what nobody needs any more."""
        self.spawn(self.every(_PURGE_SECONDS, self.purge_journals))

    async def purge_journals(self) -> None:
        """Delete journals that are recorded and settled and whose runs have ended. Safe in several recorders."""
        floors = [(await self.bus.admin.consumer_state(RUNS, durable)).ack_floor for durable in _HOLD_JOURNALS]
        running = await self.runs.running_first_seq(pending_since=self.clock.now() - _PENDING_COUNTS)
        below = purge_point(floors, running, margin=self._purge_margin)
        if below > (await self.bus.admin.stream_state(RUNS)).first_sequence:
            purged = await self.bus.admin.purge(RUNS, below_sequence=below)
            self.log.info("purged journals", below_sequence=below, messages=purged)

    async def _on_runs(self, deliveries: Sequence[Delivery]) -> None:
        entries: list[JournalEntry] = []
        for delivery in deliveries:
            try:
                entries.append(_entry(delivery.sequence, delivery.data))
            except InvalidMessage as error:
                await bury(self, delivery, RUNS, error.info())
        try:
            await self._record(entries)
        except StorageRefused:
            await self._record_apart(entries, deliveries)

    async def _record(self, entries: Sequence[JournalEntry]) -> None:
        if entries:
            reach("recorder.before_commit")
            recorded = await self.runs.record(entries)
            reach("recorder.committed")
            for gap in recorded.gaps:
                await self._mend(gap)

    async def _mend(self, gap: Gap) -> None:
        """Record what is missing of a run from its journal; what is no longer there is passed over, and said."""
        journal: list[JournalEntry] = []
        subject = subjects.run_events(gap.run_id)
        async for stored in self.bus.read(RUNS, subject, from_sequence=gap.last_seq + 1):
            try:
                journal.append(_entry(stored.sequence, stored.data))
            except InvalidMessage:
                self.log.warning("unreadable event passed over", run_id=gap.run_id, sequence=stored.sequence)
        recorded = await self.runs.record(journal)
        if recorded.gaps:
            self.log.warning("journal has a hole", run_id=gap.run_id, after=recorded.gaps[0].last_seq)
            await self.runs.record(journal, forgive=frozenset({gap.run_id}))

    async def _record_apart(self, entries: Sequence[JournalEntry], deliveries: Sequence[Delivery]) -> None:
        """Record run by run, so that one that the database refuses does not stop the others."""
        by_sequence = {delivery.sequence: delivery for delivery in deliveries}
        for run_id in dict.fromkeys(entry.event.run_id for entry in entries):
            of_run = [entry for entry in entries if entry.event.run_id == run_id]
            try:
                await self._record(of_run)
            except StorageRefused as error:
                for entry in of_run:
                    await bury(self, by_sequence[entry.seq], RUNS, error.info(), run_id=run_id)

    async def _on_events(self, deliveries: Sequence[Delivery]) -> None:
        await self.archive.keep_events(
            [
                StoredEvent(d.sequence, d.stored_at, d.subject.rsplit(".", 1)[-1], _run_id(d.data), _text(d.data))
                for d in deliveries
            ]
        )

    async def _on_commands(self, deliveries: Sequence[Delivery]) -> None:
        commands: list[StoredCommand] = []
        for delivery in deliveries:
            try:
                verb, run_id = subjects.parse_command(delivery.subject)
            except InvalidSubject as error:
                await bury(self, delivery, COMMANDS, error.info())
                continue
            principal = principal_of(delivery.subject)
            commands.append(
                StoredCommand(delivery.sequence, delivery.stored_at, str(verb), run_id, principal, _text(delivery.data))
            )
        await self.archive.keep_commands(commands)

    async def _on_dead(self, deliveries: Sequence[Delivery]) -> None:
        await self.archive.keep_dead([_letter(delivery) for delivery in deliveries])


def purge_point(ack_floors: Sequence[int], running_first_seq: int | None, *, margin: int) -> int:
    """Return the sequence below which no journal is needed: not to record, not to settle, not to take over."""
    needed = [floor + 1 for floor in ack_floors]
    if running_first_seq is not None:
        needed.append(running_first_seq)
    return max(0, min(needed) - margin)


def _entry(sequence: int, data: bytes) -> JournalEntry:
    try:
        return JournalEntry(sequence, read_run_event(data), data)
    except (ValidationError, EvolventError) as error:
        raise InvalidMessage(f"Journal event {sequence} cannot be read; it was passed over.") from error


def _letter(delivery: Delivery) -> DeadLetter:
    headers = {name: clean(value) or "" for name, value in delivery.headers.items()}
    return DeadLetter(
        delivery.sequence,
        delivery.stored_at,
        delivery.subject.rsplit(".", 1)[-1],
        headers.get("Evolvent-Subject", ""),
        headers.get("Evolvent-Error-Code", ""),
        headers.get("Evolvent-Reason", ""),
        headers,
        delivery.data,
    )


def _run_id(data: bytes) -> str | None:
    try:
        found = from_json(data)
    except ValueError:
        return None
    run_id = found.get("run_id") if isinstance(found, dict) else None
    return clean(run_id) if isinstance(run_id, str) else None


def _text(data: bytes) -> str:
    return clean(data.decode(errors="replace")) or ""
