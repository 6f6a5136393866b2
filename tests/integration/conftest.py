"""What integration tests share: databases, and the house of an orchestrator."""

from __future__ import annotations

from support.databases import database_url, databases, postgres_server
from support.house import house

__all__ = ["database_url", "databases", "house", "postgres_server"]
