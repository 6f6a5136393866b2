"""What is learnt from runs: signatures, disputes to be taken up, and how automations did.

Revision ID: records_0002
"""

import sqlalchemy as sa
from alembic import op

from evolvent.storage.columns import UtcDateTime

revision = "records_0002"
down_revision = "records_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables; variants counted less than signatures do, and go."""
    op.drop_index("ix_variants_support", table_name="variants")
    op.drop_table("variants")
    op.create_table(
        "signatures",
        sa.Column("signature", sa.String(), nullable=False),
        sa.Column("goal", sa.String(), nullable=False),
        sa.Column("agent_id", sa.String(), nullable=False),
        sa.Column("words", sa.String(), nullable=False),
        sa.Column("work", sa.String(), nullable=False),
        sa.Column("skeleton", sa.Text(), nullable=False),
        sa.Column("shape", sa.Text(), nullable=False),
        sa.Column("is_filler", sa.Boolean(), nullable=False),
        sa.Column("support", sa.Integer(), nullable=False),
        sa.Column("principals", sa.Integer(), nullable=False),
        sa.Column("sessions", sa.Integer(), nullable=False),
        sa.Column("disputed", sa.Integer(), nullable=False),
        sa.Column("last_at", UtcDateTime(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("changes", sa.Integer(), nullable=False),
        sa.Column("looked", sa.Integer(), nullable=False),
        sa.Column("looked_with", sa.String(), nullable=False),
        sa.Column("tried_support", sa.Integer(), nullable=False),
        sa.Column("tried_disputed", sa.Integer(), nullable=False),
        sa.Column("tried_with", sa.String(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("is_nominated", sa.Boolean(), nullable=False),
        sa.Column("automation", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("signature", name=op.f("pk_signatures")),
    )
    op.create_index("ix_signatures_words", "signatures", ["words"], unique=False)
    op.create_index("ix_signatures_work", "signatures", ["work"], unique=False)
    op.create_index("ix_signatures_scope", "signatures", ["goal", "agent_id", "is_filler", "support"], unique=False)
    op.create_index("ix_signatures_support", "signatures", ["is_filler", "support", "signature"], unique=False)
    op.create_table(
        "disputes",
        sa.Column("run_id", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_disputes")),
    )
    op.create_table(
        "automation_totals",
        sa.Column("automation_id", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("served", sa.Integer(), nullable=False),
        sa.Column("wrong", sa.Integer(), nullable=False),
        sa.Column("deoptimized", sa.Integer(), nullable=False),
        sa.Column("tokens_saved", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("automation_id", "version", name=op.f("pk_automation_totals")),
    )
    op.create_table(
        "automation_wrong",
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("automation_id", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "automation_id", "version", name=op.f("pk_automation_wrong")),
    )
