"""Takes secrets and control characters out of text that a model or a journal will hold."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from urllib.parse import quote

MASK = "[redacted]"
_MOST_READ = 20_000
_SHORTEST_SECRET = 6
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_LABELLED = re.compile(
    r"(?i)\b([\w-]*(?:authorization|token|api[_-]?key|secret|password|passwd|pwd|access[_-]?key)[\w-]*)"
    r"""(["']?\s*[:=]\s*["']?)(?:(?:bearer|basic)\s+)?[^\s"',;&)}\]]+"""
)
_SHAPED = (
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*-----|\Z)", re.DOTALL),
    re.compile(r"(?i)\b(?:bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}"),
    re.compile(r"\b(?:sk|pk|rk)[-_][A-Za-z0-9_-]{8,}"),
    re.compile(r"\b(?:gh[a-z]|github_pat|xox[a-z]|glpat|hf)[-_][A-Za-z0-9_-]{10,}"),
    re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_.-]+"),
    re.compile(r"\bS[ACNOUX][A-Z2-7]{56}\b"),
)
_USER_INFO = re.compile(r"://[^/\s@]{1,200}@")


class Scrubber:
    """Masks the secrets that it was told, in their usual spellings, and whatever looks like one."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        spellings = {text for secret in secrets if len(secret) >= _SHORTEST_SECRET for text in _spellings(secret)}
        self._known = sorted(spellings, key=len, reverse=True)

    def __call__(self, text: str, limit: int = 500) -> str:
        """Return at most `limit` characters without secrets. It cuts last, so that half a secret cannot stay."""
        text = text[:_MOST_READ].encode("utf-8", "replace").decode()
        for spelling in self._known:
            text = text.replace(spelling, MASK)
        for shape in _SHAPED:
            text = shape.sub(MASK, text)
        text = _USER_INFO.sub(f"://{MASK}@", text)
        text = _LABELLED.sub(rf"\1\2{MASK}", text)
        text = _CONTROL.sub(" ", text)
        return text if len(text) <= limit else text[: limit - 1] + "…"


def _spellings(secret: str) -> Iterable[str]:
    data = secret.encode("utf-8", "replace")
    yield secret
    yield json.dumps(secret)[1:-1]
    yield quote(secret, safe="")
    yield base64.b64encode(data).decode().rstrip("=")
    yield base64.urlsafe_b64encode(data).decode().rstrip("=")
