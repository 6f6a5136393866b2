"""Migrations: the schema's history, one line of numbered steps for each of the three databases.

Lives here: the steps and how they are run at start. May not know: the row classes; they change, a step never does.
Shown in use by tests/integration/test_migrations.py.
"""
