"""What integration tests share: the house of an orchestrator."""

from __future__ import annotations

from support.house import house

__all__ = ["house"]
