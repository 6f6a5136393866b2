"""What became of feedback, and the runs that shall not be learnt from.

Revision ID: records_0004
"""

import sqlalchemy as sa
from alembic import op

from evolvent.storage.columns import UtcDateTime

revision = "records_0004"
down_revision = "records_0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the columns; what was said before was taken as a dispute without a rating, too, and is done with."""
    op.add_column("feedback", sa.Column("is_dispute", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("feedback", sa.Column("status", sa.String(), nullable=False, server_default="noted"))
    op.add_column("feedback", sa.Column("detail", sa.Text(), nullable=False, server_default=""))
    op.add_column("feedback", sa.Column("target", sa.String(), nullable=False, server_default=""))
    op.add_column("feedback", sa.Column("improver_run", sa.String(), nullable=True))
    op.create_index("ix_feedback_status", "feedback", ["status", "created_at"], unique=False)
    feedback = sa.table("feedback", sa.column("is_dispute", sa.Boolean()), sa.column("rating", sa.Integer()))
    op.execute(
        feedback.update().where(sa.or_(feedback.c.rating.is_(None), feedback.c.rating <= 2)).values(is_dispute=True)
    )
    op.create_table(
        "unlearnt_runs",
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("unlearnt_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_unlearnt_runs")),
    )
