"""The arguments of a task, and whether its output is what was expected: references first, programs over them."""

from __future__ import annotations

from evolvent.events.language.learning.guards import violated
from evolvent.events.language.learning.programs import bind

__all__ = ["bind", "violated"]
