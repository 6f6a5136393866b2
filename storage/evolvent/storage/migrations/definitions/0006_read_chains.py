"""The reads that the runs of a scope begin with.

Revision ID: definitions_0006
"""

import sqlalchemy as sa
from alembic import op

revision = "definitions_0006"
down_revision = "definitions_0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "read_chains",
        sa.Column("goal", sa.String(), nullable=False),
        sa.Column("agent_id", sa.String(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("goal", "agent_id", name=op.f("pk_read_chains")),
    )
