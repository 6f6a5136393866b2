"""Tools: functions that agents may call, declared by a decorator, checked before and bounded after every call.

Lives here: `@tool`, the registry with its grants and rate limits, the one way that a tool is called, and the
built-in tools. It may not know runs, models, the bus or SQL. Shown in use by
`tests/unit/orchestrator/test_tool_calls.py`.
These names are public: `from evolvent.orchestrator.tools import tool`.
"""

from evolvent.orchestrator.tools.context import ReconcileResult, ToolContext
from evolvent.orchestrator.tools.decorator import tool
from evolvent.orchestrator.tools.registry import ToolRegistry

__all__ = ["ReconcileResult", "ToolContext", "ToolRegistry", "tool"]
