"""Users' schedules and their planned times.

Revision ID: definitions_0003
"""

import sqlalchemy as sa
from alembic import op

from evolvent.storage.columns import UtcDateTime

revision = "definitions_0003"
down_revision = "definitions_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "schedules",
        sa.Column("schedule_id", sa.String(), nullable=False),
        sa.Column("principal", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("paused", sa.Boolean(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("next_at", UtcDateTime(), nullable=False),
        sa.Column("last_at", UtcDateTime(), nullable=True),
        sa.Column("last_run_id", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("schedule_id", name=op.f("pk_schedules")),
        sa.UniqueConstraint("principal", "name", name="uq_schedules_principal_name"),
    )
    op.create_index("ix_schedules_next", "schedules", ["next_at"], unique=False)
    op.create_table(
        "schedule_times",
        sa.Column("schedule_id", sa.String(), nullable=False),
        sa.Column("planned_at", UtcDateTime(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("claimed_at", UtcDateTime(), nullable=False),
        sa.Column("published_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("schedule_id", "planned_at", name=op.f("pk_schedule_times")),
    )
    op.create_index("ix_schedule_times_published", "schedule_times", ["published_at", "planned_at"], unique=False)
