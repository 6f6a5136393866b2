"""Routing: who serves a request, and why.

Lives here: named workflows made ready to run, what a message means, and the choice among agents. May not know: how runs
are driven. Shown in use by tests/integration/test_routing.py.
"""
