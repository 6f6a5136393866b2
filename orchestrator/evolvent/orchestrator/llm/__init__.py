"""The one seam to language models: ask, read the answer, know the price.

Lives here: the `Model` protocol, its errors, the openai client behind it, and prices in integer micro-dollars.
May not know: agents, runs, the bus, SQL. Retries, breakers and leases are decided by the callers.
Shown in use by tests/integration/test_openai_client.py and tests/unit/orchestrator/test_pricing.py.
"""
