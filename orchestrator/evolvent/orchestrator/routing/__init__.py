"""Routing: who serves a request, and why.

Lives here: the choice among agents, as pure functions over what is known. May not know: how runs are driven.
Shown in use by tests/unit/orchestrator/test_selection.py.
"""
