"""One tree of versions of workflows, agents and automations, and what was decided of each.

Revision ID: definitions_0005
"""

import sqlalchemy as sa
from alembic import op

from evolvent.storage.columns import UtcDateTime

revision = "definitions_0005"
down_revision = "definitions_0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables, and enter what was stored before."""
    op.create_table(
        "versions",
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("item_id", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("parent", sa.Integer(), nullable=True),
        sa.Column("content_hash", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("made_by", sa.String(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("changes", sa.Text(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "item_id", "version", name=op.f("pk_versions")),
    )
    op.create_index("ix_versions_created", "versions", ["created_at"], unique=False)
    op.create_table(
        "version_receipts",
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("item_id", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("made_by", sa.String(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "item_id", "version", "number", name=op.f("pk_version_receipts")),
    )
    _enter_what_is_there()


def _enter_what_is_there() -> None:
    columns = "(kind, item_id, version, parent, content_hash, source, made_by, note, changes, created_at)"
    op.execute(
        f"INSERT INTO versions {columns} SELECT 'workflow', name, version, parent_version, workflow_hash, source,"  # noqa: S608
        " created_by, note, '', created_at FROM workflow_versions"
    )
    op.execute(
        f"INSERT INTO versions {columns} SELECT 'agent', v.agent_id, v.version,"  # noqa: S608
        " CASE WHEN v.version > 1 THEN v.version - 1 END, v.spec_hash, v.source, a.created_by, '', '', v.created_at"
        " FROM agent_versions v JOIN agents a ON a.agent_id = v.agent_id WHERE 1 = 1 ON CONFLICT DO NOTHING"
    )
    # An agent that was put back to a spec of before counted on without a row of its own.
    op.execute(
        f"INSERT INTO versions {columns} SELECT 'agent', a.agent_id, a.version, a.version - 1, a.spec_hash,"  # noqa: S608
        " 'system', a.created_by, '', '', a.created_at FROM agents a"
        " WHERE NOT EXISTS (SELECT 1 FROM versions v WHERE v.kind = 'agent' AND v.item_id = a.agent_id"
        " AND v.version = a.version)"
    )
    op.execute(
        f"INSERT INTO versions {columns} SELECT 'automation', automation_id, version,"  # noqa: S608
        " CASE WHEN version > 1 THEN version - 1 END, content_hash, 'automated', source, '', '', created_at"
        " FROM automation_versions"
    )
    op.execute(
        "INSERT INTO version_receipts (kind, item_id, version, number, status, made_by, reason, evidence, created_at)"
        " SELECT 'automation', automation_id, version, 1, status, decided_by, reason, '{}', decided_at"
        " FROM automation_versions"
    )
