"""The workshop: requests in, runs out. Three services that meet only on the bus.

Lives here: the agent orchestrator (routes and drives runs), the lazy loader (hosts agents), the resource manager
(leases money), and what they are made of. May not know: the command line, settings files, how it is deployed.
Shown in use by tests/e2e/test_one_request.py.
"""
