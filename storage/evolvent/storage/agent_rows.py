"""The rows of agents: which spec is current, and every spec that ever was put.

Owns the tables agents and agent_versions (definitions); `agents.py` and `agent_versions.py` work on them.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index
from sqlmodel import Field

from evolvent.storage.columns import UtcDateTime
from evolvent.storage.rows import LONG, DefinitionsRow


class AgentDefinitionRow(DefinitionsRow, table=True):
    """An agent: what can be listed without reading its spec, and which version is current."""

    __tablename__ = "agents"
    __table_args__ = (
        Index("ix_agents_goal", "goal", "status", "spawned", "agent_id"),
        Index("ix_agents_specialty", "goal", "specialty", "status", "agent_id"),
        Index("ix_agents_status", "status", "agent_id"),
    )
    agent_id: str = Field(primary_key=True)
    specialty: str
    goal: str
    model: str
    status: str = "active"
    spec_hash: str
    version: int = 1
    spawned: bool = True
    key: str | None = Field(default=None, unique=True)
    created_by: str = ""
    created_at: datetime = Field(sa_type=UtcDateTime)
    retired_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class AgentVersionRow(DefinitionsRow, table=True):
    """A spec as it was put; never changed, because runs are pinned to its hash."""

    __tablename__ = "agent_versions"
    agent_id: str = Field(primary_key=True)
    spec_hash: str = Field(primary_key=True)
    version: int
    spec_json: str = Field(sa_type=LONG)
    source: str = "system"
    created_at: datetime = Field(sa_type=UtcDateTime)
