"""The rows of what is learnt: signatures, disputes that wait, and how automations did.

Owns the tables signatures, disputes, automation_totals and automation_wrong (records); `signatures.py` works on them.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Index
from sqlmodel import Field

from evolvent.storage.columns import UtcDateTime
from evolvent.storage.rows import LONG, RecordsRow


class SignatureRow(RecordsRow, table=True):
    """A signature. `changes` counts its writes, `looked` is the count at which somebody last asked what it teaches."""

    __tablename__ = "signatures"
    __table_args__ = (
        Index("ix_signatures_words", "words"),
        Index("ix_signatures_work", "work"),
        Index("ix_signatures_scope", "goal", "agent_id", "is_filler", "support"),
        Index("ix_signatures_support", "is_filler", "support", "signature"),
    )
    signature: str = Field(primary_key=True)
    goal: str
    agent_id: str
    words: str
    work: str
    skeleton: str = Field(sa_type=LONG)
    shape: str = Field(sa_type=LONG)
    is_filler: bool
    support: int
    principals: int
    sessions: int
    disputed: int
    last_at: datetime = Field(sa_type=UtcDateTime)
    document: str = Field(sa_type=LONG)
    changes: int = 1
    looked: int = 0
    looked_with: str = ""
    tried_support: int = 0
    tried_disputed: int = 0
    tried_with: str = ""
    verdict: str = Field(default="", sa_type=LONG)
    is_nominated: bool = False
    automation: str = ""


class DisputeRow(RecordsRow, table=True):
    """A run of which somebody said that it went wrong, until the learner has taken it up."""

    __tablename__ = "disputes"
    run_id: str = Field(primary_key=True)


class AutomationTotalsRow(RecordsRow, table=True):
    """How a version of an automation did."""

    __tablename__ = "automation_totals"
    automation_id: str = Field(primary_key=True)
    version: int = Field(primary_key=True)
    served: int = 0
    wrong: int = 0
    deoptimized: int = 0
    tokens_saved: int = Field(default=0, sa_type=BigInteger)


class AutomationWrongRow(RecordsRow, table=True):
    """A run that an automation served wrong: however often that is said, it counts once."""

    __tablename__ = "automation_wrong"
    run_id: str = Field(primary_key=True)
    automation_id: str = Field(primary_key=True)
    version: int = Field(primary_key=True)
