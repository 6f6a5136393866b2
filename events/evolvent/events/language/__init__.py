"""The pure documents that orchestrator and improvement share, and their interpreter.

Lives here: agent and tool specs, workflows, conversations, the run state and its reducer.
May not know: asyncio, clocks, chance, vendors, the bus. The same input gives the same output, always.
Shown in use by tests/unit/events/test_reducer.py.
"""
