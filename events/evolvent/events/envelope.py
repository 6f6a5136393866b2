"""What every message carries, and the one way in which bytes become a message.

Writers are strict, readers tolerant: a request refuses fields that it does not know, an event ignores them.
Refused everywhere, with the reason: more than the size limit, NUL, NaN and infinities, lone surrogates,
nesting deeper than 64.
"""

from __future__ import annotations

import math
import re
from datetime import datetime
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import PydanticSerializationError, from_json

from evolvent.events.errors import InvalidMessage, PayloadTooLarge

MAX_MESSAGE_BYTES = 900 * 1024
MAX_DEPTH = 64
_NUL_ESCAPE = b"\\u0000"
_AS_ZEROS = bytes.maketrans(b"123456789", b"000000000")
_SUSPECT = (b"0e000", b"0e+000", b"0E000", b"0E+000", b"0" * 24)
_MAYBE_INFINITE = re.compile(rb"[\[:,\s]-?\d[\d.]*[eE]\+?\d{3}|\d{200}")
"""Only an exponent of three digits or very many digits can be infinite; hashes in quotes look like that, too."""


class Message(BaseModel):
    """A frozen document that travels: `encode` to bytes, `decode` from bytes."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    def encode(self) -> bytes:
        """Return the JSON bytes.

        Raises:
            InvalidMessage: a string in it cannot be written as UTF-8 (a lone surrogate).
            PayloadTooLarge: it is over MAX_MESSAGE_BYTES.
        """
        try:
            data = self.__pydantic_serializer__.to_json(self, exclude_none=True)
        except (PydanticSerializationError, UnicodeError) as error:
            raise InvalidMessage(f"{type(self).__name__} cannot be written as JSON: {error}") from error
        if len(data) > MAX_MESSAGE_BYTES:
            raise PayloadTooLarge(
                f"{type(self).__name__} is {len(data)} bytes, the limit is {MAX_MESSAGE_BYTES}; send a reference."
            )
        return data

    @classmethod
    def decode(cls, data: bytes, *, max_bytes: int = MAX_MESSAGE_BYTES) -> Self:
        """Read a message.

        Raises:
            InvalidMessage: naming every field that is wrong; or PayloadTooLarge.
        """
        check_bytes(data, max_bytes=max_bytes)
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            raise InvalidMessage(_problems(cls.__name__, error)) from error


class Envelope(Message):
    """The fields that every event and command carries."""

    event_id: str
    run_id: str | None = None
    correlation_id: str | None = None
    causation_id: str | None = None
    occurred_at: datetime
    schema_version: int = 1
    source: str


def check_bytes(data: bytes, *, max_bytes: int = MAX_MESSAGE_BYTES) -> None:
    """Refuse bytes that no reader should meet, before they are parsed.

    Raises:
        PayloadTooLarge: over `max_bytes`.
        InvalidMessage: NUL, NaN, an infinity, or too deep.
    """
    if len(data) > max_bytes:
        raise PayloadTooLarge(f"The message is {len(data)} bytes, the limit is {max_bytes}; send less.")
    if b"\0" in data or (_NUL_ESCAPE in data and _has_nul(data)):
        raise InvalidMessage("The message holds a NUL character; remove it.")
    if _may_be_infinite(data):
        _refuse_infinite(data)
    if data.count(b"[") + data.count(b"{") > MAX_DEPTH and _depth(data) > MAX_DEPTH:
        raise InvalidMessage(f"The message is nested deeper than {MAX_DEPTH}; flatten it.")


def _may_be_infinite(data: bytes) -> bool:
    """Look cheaply before a parse: searches for a few fixed strings cost a twentieth of one regular expression."""
    if b"NaN" in data or b"Infinity" in data:
        return True
    zeros = data.translate(_AS_ZEROS)
    for mark in _SUSPECT:
        if mark in zeros:
            return _MAYBE_INFINITE.search(data) is not None
    return False


def _has_nul(data: bytes) -> bool:
    """Tell the escape for NUL from a literal backslash followed by u0000."""
    return _NUL_ESCAPE in data.replace(b"\\\\", b"")


def _refuse_infinite(data: bytes) -> None:
    try:
        value = from_json(data, allow_inf_nan=True)
    except ValueError as error:
        raise InvalidMessage(f"The message is not JSON: {error}") from error
    if not is_finite(value):
        raise InvalidMessage("The message holds NaN or an infinite number; send finite numbers.")


def is_finite(value: Any) -> bool:
    """Say whether a JSON value holds no NaN and no infinity."""
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, float) and not math.isfinite(item):
            return False
        if isinstance(item, dict):
            stack.extend(item.values())
        elif isinstance(item, list | tuple):
            stack.extend(item)
    return True


def _depth(data: bytes) -> int:
    """Return the greatest nesting of brackets outside strings."""
    depth = deepest = 0
    in_string = escaped = False
    for byte in data:
        if in_string:
            if escaped:
                escaped = False
            elif byte == 0x5C:
                escaped = True
            elif byte == 0x22:
                in_string = False
        elif byte == 0x22:
            in_string = True
        elif byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
    return deepest


def _problems(name: str, error: ValidationError) -> str:
    lines = []
    for problem in error.errors(include_url=False, include_input=False)[:8]:
        where = ".".join(str(part) for part in problem["loc"]) or "message"
        reason = "is not a field of it" if problem["type"] == "extra_forbidden" else problem["msg"]
        lines.append(f"{where}: {reason}")
    return f"Not a valid {name}: " + "; ".join(lines) + "."
