"""Workflows: the documents that come with the platform, and how they are read.

It may not know runs at work, models, the bus or SQL. Shown in use by
`tests/unit/orchestrator/test_builtin_workflows.py`.
"""
