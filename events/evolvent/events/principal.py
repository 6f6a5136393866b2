"""Who is speaking: the authenticated NATS user behind a request, a command or a question.

A client's account adds the client's name as the last token of what it publishes, so the subject is the proof:
a client can neither leave its name out nor write another's. Who publishes inside the services' account (the
gateway for an API key, the resource manager for a suspended run) adds the name itself or stays anonymous.
No header counts: any publisher may write any header.
Shown in use by tests/integration/test_nats_permissions.py.
"""

from __future__ import annotations

ANONYMOUS = "anonymous"

_TOKENS_UNSIGNED = {"requests": 4, "commands": 4, "ask": 3}


def principal_of(subject: str) -> str:
    """Return the name that signs this subject, or `anonymous` where none does."""
    root, kind, *rest = [*subject.split("."), ""][:-1] if subject.count(".") else ("", "")
    unsigned = _TOKENS_UNSIGNED.get(kind, 0) if root == "evolvent" else 0
    return rest[-1] if unsigned and len(rest) + 2 == unsigned + 1 else ANONYMOUS


def signed(subject: str, principal: str) -> str:
    """Return the subject with this name as its last token, for a publisher that speaks for somebody."""
    return subject if principal == ANONYMOUS else f"{subject}.{principal}"
