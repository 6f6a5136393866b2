"""The improver: looks at what runs did and at what people said of them, and acts on schedule.

Lives here: the improvement orchestrator, the learner, the schedule, and their pure parts (lessons of runs, promotion,
wording, feedback). May not know: agents' code, models, the orchestrator floor, the command line; they meet on the bus.
Shown in use by tests/integration/test_improvement_orchestrator.py and tests/integration/test_schedule.py.
"""
