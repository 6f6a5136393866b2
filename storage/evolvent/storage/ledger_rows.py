"""Row classes of the ledger, in integer micro-dollars. The CHECKs hold even against our own mistakes."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, Index
from sqlmodel import Field

from evolvent.storage.columns import UtcDateTime
from evolvent.storage.rows import LedgerRow


class BudgetRow(LedgerRow, table=True):
    """A goal's limits; goal `*` is the whole platform. None means: the default of the settings."""

    __tablename__ = "budgets"
    __table_args__ = (
        CheckConstraint("max_agents >= 0", name="agents"),
        CheckConstraint("max_concurrent >= 0", name="concurrent"),
        CheckConstraint("max_daily_microusd >= 0", name="daily"),
    )
    goal: str = Field(primary_key=True)
    max_agents: int | None = None
    max_concurrent: int | None = None
    max_daily_microusd: int | None = Field(default=None, sa_type=BigInteger)
    policy: str | None = None
    updated_at: datetime = Field(sa_type=UtcDateTime)
    updated_by: str = ""


class UsageRow(LedgerRow, table=True):
    """What a goal has spent and holds on one UTC day; goal `*` is the sum of all."""

    __tablename__ = "usage"
    __table_args__ = (
        CheckConstraint("spent_microusd >= 0", name="spent"),
        CheckConstraint("leased_microusd >= 0", name="leased"),
    )
    goal: str = Field(primary_key=True)
    day: str = Field(primary_key=True)
    spent_microusd: int = Field(default=0, sa_type=BigInteger)
    leased_microusd: int = Field(default=0, sa_type=BigInteger)


class SlotsRow(LedgerRow, table=True):
    """How many of a goal's model turns are in flight: the leases with `slot`, counted."""

    __tablename__ = "slots"
    __table_args__ = (CheckConstraint("in_use >= 0", name="in_use"),)
    goal: str = Field(primary_key=True)
    in_use: int = 0


class LeaseRow(LedgerRow, table=True):
    """Money held for one model turn, and what became of it."""

    __tablename__ = "leases"
    __table_args__ = (
        CheckConstraint("held_microusd >= 0", name="held"),
        CheckConstraint("cost_microusd >= 0", name="cost"),
        CheckConstraint("state IN ('leased', 'settled', 'released', 'charged')", name="state"),
        Index("ix_leases_run", "run_id", "task_id"),
        Index("ix_leases_expiry", "state", "expires_at"),
        Index("ix_leases_slot", "slot", "goal", "expires_at"),
    )
    lease_id: str = Field(primary_key=True)
    run_id: str
    task_id: str
    turn: int
    goal: str
    day: str
    model: str
    held_microusd: int = Field(sa_type=BigInteger)
    cost_microusd: int | None = Field(default=None, sa_type=BigInteger)
    state: str = "leased"
    slot: bool = True
    expires_at: datetime = Field(sa_type=UtcDateTime)
    created_at: datetime = Field(sa_type=UtcDateTime)


class ClosedModelRow(LedgerRow, table=True):
    """A model that billed above its lease, closed for this goal until somebody opens it again."""

    __tablename__ = "closed_models"
    goal: str = Field(primary_key=True)
    model: str = Field(primary_key=True)
    lease_id: str
    held_microusd: int = Field(sa_type=BigInteger)
    billed_microusd: int = Field(sa_type=BigInteger)
    closed_at: datetime = Field(sa_type=UtcDateTime)


class RateRow(LedgerRow, table=True):
    """Requests and tokens that were leased of a model in one minute, shared by every process."""

    __tablename__ = "rate_windows"
    model: str = Field(primary_key=True)
    minute: int = Field(primary_key=True)
    requests: int = 0
    tokens: int = Field(default=0, sa_type=BigInteger)
