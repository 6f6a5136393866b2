"""The message classes: requests, run events, platform events, commands and service calls.

Lives here: frozen pydantic models, one module per family. May not know: how a message travels.
Shown in use by tests/unit/events/test_messages.py.
"""
