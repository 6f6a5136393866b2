"""`evolvent demo`: the platform at work on this machine's own files, told in steps.

Lives here: the stage (a whole platform, a second orchestrator, a model server with a script), the scenes and how they
are told. It reaches the platform only as its users do, over the bus. Shown in use by tests/e2e/test_demo.py.
"""
