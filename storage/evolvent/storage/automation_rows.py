"""The rows of automations: their versions, the small talk beside them, and a counter of changes.

Owns the tables automation_versions, small_talk, read_chains and automation_revision (definitions); other modules work
on them.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Index, text
from sqlmodel import Field

from evolvent.storage.columns import UtcDateTime
from evolvent.storage.rows import LONG, DefinitionsRow

_IS_LIVE = text("status = 'live'")


class AutomationRow(DefinitionsRow, table=True):
    """One version of an automation: what was learnt, and what was decided about it."""

    __tablename__ = "automation_versions"
    __table_args__ = (
        Index("ix_automation_versions_status", "status", "automation_id"),
        Index(
            "uq_automation_versions_live",
            "automation_id",
            unique=True,
            sqlite_where=_IS_LIVE,
            postgresql_where=_IS_LIVE,
        ),
    )
    automation_id: str = Field(primary_key=True)
    version: int = Field(primary_key=True)
    content_hash: str
    document: str = Field(sa_type=LONG)
    status: str
    source: str
    created_at: datetime = Field(sa_type=UtcDateTime)
    decided_by: str
    decided_at: datetime = Field(sa_type=UtcDateTime)
    reason: str = Field(default="", sa_type=LONG)
    receipts: str = Field(default="[]", sa_type=LONG)


class SmallTalkRow(DefinitionsRow, table=True):
    """What is said in a scope beside requests, and asks for nothing."""

    __tablename__ = "small_talk"
    goal: str = Field(primary_key=True)
    agent_id: str = Field(primary_key=True)
    templates: str = Field(default="[]", sa_type=LONG)


class ReadChainsRow(DefinitionsRow, table=True):
    """The reads that the runs of a scope begin with."""

    __tablename__ = "read_chains"
    goal: str = Field(primary_key=True)
    agent_id: str = Field(primary_key=True)
    document: str = Field(sa_type=LONG)


class AutomationRevisionRow(DefinitionsRow, table=True):
    """How often anything here changed."""

    __tablename__ = "automation_revision"
    name: str = Field(primary_key=True)
    revision: int = Field(sa_type=BigInteger)
