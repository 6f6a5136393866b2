"""The resource manager: leases the worst case of every model turn, and books what the journals say it really cost.

Any number of them share one ledger; what one forgets in a crash, another reads in the journal.
Shown in use by tests/integration/test_resource_manager.py.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import ClassVar

from pydantic import ValidationError

from evolvent.events import subjects
from evolvent.events.bus import Call, Delivery
from evolvent.events.clock import Clock
from evolvent.events.errors import NotFound, PriceUnknown
from evolvent.events.fault_points import reach
from evolvent.events.messages.calls import (
    BudgetList,
    BudgetQuery,
    BudgetView,
    Empty,
    LeaseReply,
    LeaseRequest,
    ReleaseLease,
    SetBudget,
    SettleLease,
    SpawnPermit,
)
from evolvent.events.messages.platform import BudgetChanged, BudgetExceeded, BudgetOverrun
from evolvent.events.messages.runs import LeaseInfo
from evolvent.events.nats_bus import NatsBus
from evolvent.events.service import Consume, Endpoint, Service
from evolvent.events.streams import durables
from evolvent.orchestrator.budget_waker import BudgetWaker
from evolvent.orchestrator.budgets import (
    RunMoney,
    booking_of,
    lease_ask,
    leased_price,
    microusd,
    moves_money,
    rate_limits,
    refusal,
)
from evolvent.orchestrator.lease_desk import LeaseDesk
from evolvent.orchestrator.llm.pricing import PriceTable
from evolvent.orchestrator.outbox import EventOutbox
from evolvent.orchestrator.settings import ResourceSettings
from evolvent.storage.agents import AgentStore
from evolvent.storage.budgets import ALL_GOALS
from evolvent.storage.leases import Limit, Refused, utc_day
from evolvent.storage.ledger import Ledger
from evolvent.storage.runs import RunStore
from evolvent.storage.settlements import Settled, Settlement

_SWEEP_SECONDS = 60.0
_DAY_SECONDS = 24 * 3600.0
_LEASES_KEPT = timedelta(days=35)
_TELL_AGAIN_SECONDS = 60.0
_TOLD_KEPT = 10_000
_BATCH = 200
_LINGER_SECONDS = 0.02
"""Most of what the journals say has come by the settle call already."""
_MONEY_LIMITS = frozenset({Limit.DAILY_COST, Limit.PLATFORM_DAILY_COST})


class ResourceManager(Service):
    """Answers `evolvent.resources.*`, and reads every run's journal for what it cost."""

    name: ClassVar[str] = "resources"
    description: ClassVar[str] = "Leases money, slots and rates; keeps budgets"

    def __init__(
        self,
        bus: NatsBus,
        ledger: Ledger,
        agents: AgentStore,
        runs: RunStore,
        settings: ResourceSettings,
        clock: Clock | None = None,
        *,
        prices: PriceTable | None = None,
    ) -> None:
        super().__init__(bus, clock=clock)
        self._ledger = ledger
        self._agents = agents
        self._settings = settings
        self._rates = rate_limits(settings)
        self._prices = prices or PriceTable(settings.prices, clock=self.clock)
        self._desk = LeaseDesk(ledger, self.clock, self.spawn)
        self._outbox = EventOutbox(self)
        self._waker = BudgetWaker(bus, ledger, runs)
        self._told: OrderedDict[tuple[str, Limit], float] = OrderedDict()

    def endpoints(self) -> Mapping[str, Endpoint]:
        """What any resource manager answers."""
        return {
            "lease": self._lease,
            "settle": self._settle,
            "release": self._release,
            "can_spawn": self._can_spawn,
            "budget": self._budget,
            "budgets": self._budgets,
            "set_budget": self._set_budget,
        }

    def consumers(self) -> Sequence[Consume]:
        """Every run's journal."""
        journal = next(durable for durable in durables() if durable.name == "resources_runs")
        return (Consume(journal, self._journal, batch=_BATCH, linger_seconds=_LINGER_SECONDS),)

    async def on_start(self) -> None:
        """Begin to look for leases whose holders are gone."""
        self.spawn(self.every(_SWEEP_SECONDS, self.sweep))

    async def on_stop(self) -> None:
        """Send what is left to say."""
        await self._outbox.flush()

    async def sweep(self) -> None:
        """Charge leases whose time ended a day ago, and forget those that ended weeks ago.

        The slot of an expired lease is taken back when somebody needs it; its money waits a day for the journal.
        """
        charged = await self._ledger.charge_expired(grace_seconds=_DAY_SECONDS)
        if charged:
            self.log.warning("charged leases whose turns were never reported", count=charged)
            self._desk.wake()
        await self._ledger.forget_before(self.clock.now() - _LEASES_KEPT)

    async def _lease(self, call: Call) -> bytes:
        ask = LeaseRequest.decode(call.data)
        try:
            held = self._prices.worst_case(ask.model, ask.prompt_bytes, ask.max_tokens)
            price = leased_price(self._prices.prices(ask.model), ask.prompt_bytes)
        except PriceUnknown as error:
            return LeaseReply(error=error.info(), policy="stop").encode()
        reach("lease.before_commit")
        worst = lease_ask(ask, held, self._rates.get(ask.model))
        answer = await self._desk.ask(worst, priority=ask.priority, wait_seconds=ask.wait_seconds)
        if isinstance(answer, Refused):
            return (await self._refused(ask, answer, held=held)).encode()
        reach("lease.committed")
        info = LeaseInfo(
            lease_id=answer.lease_id,
            goal=answer.goal,
            model=ask.model,
            held_microusd=answer.held_microusd,
            price=price,
        )
        return LeaseReply(lease=info).encode()

    async def _refused(self, ask: LeaseRequest, refused: Refused, *, held: int) -> LeaseReply:
        limits = await self._ledger.limits(ask.goal)
        day = utc_day(self.clock.now())
        error = refusal(refused, limits, goal=ask.goal, model=ask.model, held=held, day=day)
        if refused.limit in _MONEY_LIMITS:
            self._tell_exceeded(refused, limits.policy)
        cheaper = self._settings.cheaper_model
        return LeaseReply(error=error, policy=limits.policy, cheaper_model=None if cheaper == ask.model else cheaper)

    def _tell_exceeded(self, refused: Refused, policy: str) -> None:
        """Publish that a cap is reached, once a minute for each."""
        goal = ALL_GOALS if refused.limit is Limit.PLATFORM_DAILY_COST else refused.goal
        now = self.clock.monotonic()
        if now - self._told.get((goal, refused.limit), -_TELL_AGAIN_SECONDS) < _TELL_AGAIN_SECONDS:
            return
        self._told[goal, refused.limit] = now
        self._told.move_to_end((goal, refused.limit))
        if len(self._told) > _TOLD_KEPT:
            self._told.popitem(last=False)
        event = BudgetExceeded(
            **self.envelope(),
            goal=goal,
            limit=refused.limit,
            policy=policy,
            cap_microusd=refused.cap,
            used_microusd=refused.used,
        )
        self._outbox.put(event)

    async def _settle(self, call: Call) -> bytes:
        ask = SettleLease.decode(call.data)
        reach("settle.before_commit")
        self._heard_settled([await self._ledger.settle(Settlement(ask.lease_id, ask.cost_microusd))])
        return Empty().encode()

    async def _release(self, call: Call) -> bytes:
        await self._ledger.release(ReleaseLease.decode(call.data).lease_id)
        self._desk.wake()
        return Empty().encode()

    async def _journal(self, batch: Sequence[Delivery]) -> None:
        """Book a batch of journal events in one transaction; it is acked when this returns."""
        events = [event for delivery in batch if (event := self._read(delivery)) is not None]
        booking = booking_of(events)
        if not booking:
            return
        reach("settle.before_commit")
        self._heard_settled(await self._ledger.book(booking))

    def _read(self, delivery: Delivery) -> RunMoney | None:
        _, event_type = subjects.parse_run_event(delivery.subject)
        if not moves_money(event_type, delivery.data):
            return None
        try:
            return RunMoney.model_validate_json(delivery.data)
        except ValidationError as error:
            # Only orchestrators write here; one that none can read must not hold back everybody's money.
            self.log.error("event cannot be read", subject=delivery.subject, problems=error.error_count())
            return None

    def _heard_settled(self, settled: Sequence[Settled]) -> None:
        self._desk.wake()
        for overrun in (item.overrun for item in settled):
            if overrun is None:
                continue
            self.log.warning("a bill was above its lease", lease_id=overrun.lease_id, model=overrun.model)
            self._outbox.put(
                BudgetOverrun(
                    **self.envelope(run_id=overrun.run_id or None),
                    goal=overrun.goal,
                    model=overrun.model,
                    lease_id=overrun.lease_id,
                    held_microusd=overrun.held_microusd,
                    billed_microusd=overrun.billed_microusd,
                )
            )

    async def _can_spawn(self, call: Call) -> bytes:
        goal = BudgetQuery.decode(call.data).goal
        most = (await self._ledger.limits(goal)).max_agents
        count = await self._agents.count_active(goal)
        if count < most:
            return SpawnPermit(allowed=True, most=most).encode()
        reason = (
            f"Goal {goal!r} has {count} of its {most} agents; retire some (`evolvent agents retire`) or raise "
            f"max_agents (`evolvent budget set {goal} --agents N`). Nothing was stored."
        )
        return SpawnPermit(allowed=False, reason=reason).encode()

    async def _budget(self, call: Call) -> bytes:
        return (await self._with_agents(await self._ledger.usage(BudgetQuery.decode(call.data).goal))).encode()

    async def _budgets(self, _: Call) -> bytes:
        views = [await self._with_agents(view) for view in await self._ledger.list_budgets()]
        return BudgetList(budgets=tuple(views)).encode()

    async def _with_agents(self, view: BudgetView) -> BudgetView:
        if view.goal == ALL_GOALS:
            return view
        return view.model_copy(update={"agents": await self._agents.count_active(view.goal)})

    async def _limited(self, goal: str, ask: SetBudget) -> BudgetView:
        """Set the limits that are given, if any, and return how the goal stands."""
        cap = None if ask.max_daily_usd is None else microusd(ask.max_daily_usd)
        if ask.max_agents is None and ask.max_concurrent is None and cap is None and ask.policy is None:
            return await self._ledger.usage(goal)
        return await self._ledger.set_limits(
            goal,
            by="operator",
            max_agents=ask.max_agents,
            max_concurrent=ask.max_concurrent,
            max_daily_microusd=cap,
            policy=ask.policy,
        )

    async def _set_budget(self, call: Call) -> bytes:
        ask = SetBudget.decode(call.data)
        goal = ask.goal if ask.goal == ALL_GOALS else subjects.token(ask.goal)
        if ask.reopen_model is not None and not await self._ledger.reopen_model(goal, ask.reopen_model):
            raise NotFound(f"Model {ask.reopen_model!r} is not closed for goal {goal!r}; nothing was changed.")
        view = await self._limited(goal, ask)
        self._told.clear()
        self._desk.wake()
        await self.emit(
            BudgetChanged(
                **self.envelope(),
                goal=goal,
                max_agents=view.max_agents,
                max_concurrent=view.max_concurrent,
                max_daily_microusd=view.max_daily_microusd,
            )
        )
        asked = await self._waker.resume(goal)
        self.spawn(self._waker.resume_late(goal, but=asked))
        return (await self._with_agents(view)).encode()
