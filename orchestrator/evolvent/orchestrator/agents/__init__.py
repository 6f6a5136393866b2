"""Agents: how a specialist is written, and which activations stay resident.

Lives here: pure decisions about specs and residency. May not know: the bus, SQL, models.
Shown in use by tests/unit/orchestrator/test_residency.py and test_specialist.py.
"""
