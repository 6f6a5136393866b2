"""First step of the ledger.

Revision ID: ledger_0001
"""

import sqlalchemy as sa
from alembic import op

from evolvent.storage.columns import UtcDateTime

revision = "ledger_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "budgets",
        sa.Column("goal", sa.String(), nullable=False),
        sa.Column("max_agents", sa.Integer(), nullable=True),
        sa.Column("max_concurrent", sa.Integer(), nullable=True),
        sa.Column("max_daily_microusd", sa.BigInteger(), nullable=True),
        sa.Column("policy", sa.String(), nullable=True),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.Column("updated_by", sa.String(), nullable=False),
        sa.CheckConstraint("max_agents >= 0", name=op.f("ck_budgets_agents")),
        sa.CheckConstraint("max_concurrent >= 0", name=op.f("ck_budgets_concurrent")),
        sa.CheckConstraint("max_daily_microusd >= 0", name=op.f("ck_budgets_daily")),
        sa.PrimaryKeyConstraint("goal", name=op.f("pk_budgets")),
    )
    op.create_table(
        "closed_models",
        sa.Column("goal", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("lease_id", sa.String(), nullable=False),
        sa.Column("held_microusd", sa.BigInteger(), nullable=False),
        sa.Column("billed_microusd", sa.BigInteger(), nullable=False),
        sa.Column("closed_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("goal", "model", name=op.f("pk_closed_models")),
    )
    op.create_table(
        "leases",
        sa.Column("lease_id", sa.String(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("task_id", sa.String(), nullable=False),
        sa.Column("turn", sa.Integer(), nullable=False),
        sa.Column("goal", sa.String(), nullable=False),
        sa.Column("day", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("held_microusd", sa.BigInteger(), nullable=False),
        sa.Column("cost_microusd", sa.BigInteger(), nullable=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("slot", sa.Boolean(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint("state IN ('leased', 'settled', 'released', 'charged')", name=op.f("ck_leases_state")),
        sa.CheckConstraint("cost_microusd >= 0", name=op.f("ck_leases_cost")),
        sa.CheckConstraint("held_microusd >= 0", name=op.f("ck_leases_held")),
        sa.PrimaryKeyConstraint("lease_id", name=op.f("pk_leases")),
    )
    op.create_index("ix_leases_expiry", "leases", ["state", "expires_at"], unique=False)
    op.create_index("ix_leases_run", "leases", ["run_id", "task_id"], unique=False)
    op.create_index("ix_leases_slot", "leases", ["slot", "goal", "expires_at"], unique=False)
    op.create_table(
        "rate_windows",
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("minute", sa.Integer(), nullable=False),
        sa.Column("requests", sa.Integer(), nullable=False),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("model", "minute", name=op.f("pk_rate_windows")),
    )
    op.create_table(
        "slots",
        sa.Column("goal", sa.String(), nullable=False),
        sa.Column("in_use", sa.Integer(), nullable=False),
        sa.CheckConstraint("in_use >= 0", name=op.f("ck_slots_in_use")),
        sa.PrimaryKeyConstraint("goal", name=op.f("pk_slots")),
    )
    op.create_table(
        "usage",
        sa.Column("goal", sa.String(), nullable=False),
        sa.Column("day", sa.String(), nullable=False),
        sa.Column("spent_microusd", sa.BigInteger(), nullable=False),
        sa.Column("leased_microusd", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("leased_microusd >= 0", name=op.f("ck_usage_leased")),
        sa.CheckConstraint("spent_microusd >= 0", name=op.f("ck_usage_spent")),
        sa.PrimaryKeyConstraint("goal", "day", name=op.f("pk_usage")),
    )
