"""The ledger as its services use it: every call is one entry in the group writer, and returns after the commit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection

from evolvent.events.clock import Clock
from evolvent.events.messages.calls import BudgetView
from evolvent.storage import budgets, settlements, slots
from evolvent.storage.bookings import Booking, book, grant_next_turns
from evolvent.storage.budgets import Limits
from evolvent.storage.columns import utc_day
from evolvent.storage.database import Database
from evolvent.storage.leases import Granted, LeaseAsk, RateLimit, Refused
from evolvent.storage.settlements import Settled, Settlement


class Ledger:
    """Money. What waits together is granted, settled or released together, in one commit."""

    def __init__(
        self, database: Database, clock: Clock, *, defaults: Limits, rates: Mapping[str, RateLimit] | None = None
    ) -> None:
        self._database = database
        self._clock = clock
        self._defaults = defaults
        self._rates = dict(rates or {})

    async def lease(self, ask: LeaseAsk) -> Granted | Refused:
        """Hold the worst case of one model turn, or say which limit forbids it."""
        return await self._database.writer.each(self._grant, ask)

    async def book(self, booking: Booking) -> list[Settled]:
        """Book a batch of what the journals say, in one transaction."""
        now = self._clock.now()
        return await self._database.writer.run(lambda conn: book(conn, booking, now=now, defaults=self._defaults))

    async def settle(self, settlement: Settlement) -> Settled:
        """Book what a turn really cost."""
        return await self._database.writer.each(self._settle, settlement)

    async def release(self, lease_id: str) -> bool:
        """Give the money of a lease back that is proven unsent."""
        return await self._database.writer.each(settlements.release, lease_id)

    async def charge_open(self, run_id: str) -> int:
        """Charge in full what an ended run still holds."""
        return await self._database.writer.each(settlements.charge_open, run_id)

    async def charge_expired(self, *, grace_seconds: float = 0.0, most: int = 1000) -> int:
        """Charge leases whose holders are gone; how many."""
        before = self._clock.now() - timedelta(seconds=grace_seconds)
        return await self._database.writer.run(lambda conn: settlements.charge_expired(conn, before=before, most=most))

    async def free_slots(self, run_id: str, *, task_id: str | None = None, but_lease: str = "") -> int:
        """Free what an earlier attempt still occupies; its money stays held."""
        now = self._clock.now()
        return await self._database.writer.run(
            lambda conn: slots.free_slots(conn, run_id, task_id=task_id, before=now, but_lease=but_lease)
        )

    async def set_limits(
        self,
        goal: str,
        *,
        by: str,
        max_agents: int | None = None,
        max_concurrent: int | None = None,
        max_daily_microusd: int | None = None,
        policy: str | None = None,
    ) -> BudgetView:
        """Change the limits that are given, and return the goal as it stands then."""
        now = self._clock.now()

        def work(conn: Connection) -> BudgetView:
            budgets.set_limits(
                conn,
                goal,
                now=now,
                by=by,
                max_agents=max_agents,
                max_concurrent=max_concurrent,
                max_daily_microusd=max_daily_microusd,
                policy=policy,
            )
            return budgets.usage(conn, goal, day=utc_day(now), defaults=self._defaults)

        return await self._database.writer.run(work)

    async def reopen_model(self, goal: str, model: str) -> bool:
        """Let a goal use a model again that an overrun closed."""
        return await self._database.writer.run(lambda conn: budgets.reopen_model(conn, goal, model))

    async def recount_slots(self) -> None:
        """Make the slot counters equal to the leases that hold one."""
        await self._database.writer.run(slots.recount_slots)

    async def forget_before(self, before: datetime) -> int:
        """Delete ended leases from before a moment."""
        return await self._database.writer.run(lambda conn: settlements.forget_before(conn, before))

    async def limits(self, goal: str) -> Limits:
        """Return the limits that a goal draws on."""
        return await self._database.look_up(lambda conn: budgets.limits(conn, goal, defaults=self._defaults))

    async def usage(self, goal: str) -> BudgetView:
        """Return a goal's limits and its use today."""
        day = utc_day(self._clock.now())
        return await self._database.look_up(lambda conn: budgets.usage(conn, goal, day=day, defaults=self._defaults))

    async def list_budgets(self) -> list[BudgetView]:
        """Return every budget and its use today, the whole platform first."""
        day = utc_day(self._clock.now())
        return await self._database.look_up(lambda conn: budgets.list_budgets(conn, day=day, defaults=self._defaults))

    def _grant(self, conn: Connection, asks: Sequence[LeaseAsk]) -> list[Granted | Refused]:
        return grant_next_turns(conn, asks, now=self._clock.now(), defaults=self._defaults, rates=self._rates)

    def _settle(self, conn: Connection, items: Sequence[Settlement]) -> list[Settled]:
        return settlements.settle(conn, items, now=self._clock.now(), defaults=self._defaults)
