"""Storage: what must outlive a process and be asked about, in SQL.

Lives here: rows, queries, the ledger of money, the projection of journals, the recorder. May not know: who decides
anything, prices, models, agents at work. Rows never leave: repositories take and give messages, specs and frozen
dataclasses. Shown in use by tests/integration/test_database.py and tests/integration/test_ledger.py.
"""
