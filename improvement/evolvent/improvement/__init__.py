"""The improver: looks at what runs did and at what people said of them, and acts on schedule.

Lives here: the improvement orchestrator, its schedule, and the pure parts that it is made of (variants of tool-call
traces, feedback). May not know: agents' code, models, the orchestrator floor, the command line; they meet on the bus.
Shown in use by tests/integration/test_improvement_orchestrator.py and tests/integration/test_schedule.py.
"""
