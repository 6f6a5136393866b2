"""A model server whose answers come from a script: chat completions over real HTTP, for the demo and for tests.

Lives here: the script language, the server, the faults it can play and the ledger of what it was asked.
May not know: anything else of Evolvent; it is a stranger on the network, as a provider is. Every answer says that it
is scripted (`system_fingerprint` and a header).
Shown in use by tests/unit/platform/test_script.py and tests/integration/test_openai_client.py.
"""
