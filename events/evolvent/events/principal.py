"""Who is speaking: the authenticated NATS user behind a request, a command or a question.

A client's account adds the client's name as the last token of what it publishes, so the subject is the proof:
a client can neither leave its name out nor write another's. Who publishes inside the services' account (the
gateway for an API key, the resource manager for a suspended run) adds the name itself or stays anonymous.
No header counts: any publisher may write any header.
Shown in use by tests/integration/test_nats_permissions.py.
"""

from __future__ import annotations

ANONYMOUS = "anonymous"

_TOKENS_WHEN_SIGNED = {"requests": 5, "commands": 5, "ask": 4, "improvement": 5}


def principal_of(subject: str) -> str:
    """Return the name that signs this subject, or `anonymous` where none does."""
    parts = subject.split(".")
    is_signed = parts[0] == "evolvent" and len(parts) == _TOKENS_WHEN_SIGNED.get("".join(parts[1:2]))
    return parts[-1] if is_signed else ANONYMOUS


def signed(subject: str, principal: str) -> str:
    """Return the subject with this name as its last token, for a publisher that speaks for somebody."""
    return subject if principal == ANONYMOUS else f"{subject}.{principal}"


def speaks_for(principal: str, owner: str) -> bool:
    """Say whether a principal may steer what another one started: only itself, or who needs no name (a service)."""
    return principal in (ANONYMOUS, owner)
