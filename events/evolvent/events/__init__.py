"""The language and the wire: what every part of Evolvent says, and how it is carried.

Lives here: message classes, subjects, streams, the bus, the run journal, the life of a service, errors, time.
May not know: SQL, models, tools, the command line, or any other floor of the house.
Shown in use by tests/integration/test_journal.py and tests/contract/test_service.py.
"""
