"""Plain JSON: what a journal can hold of what a tool was given and returned.

Whatever a tool returns goes through its JSON bytes and back, so that a first run and its replay see the same value.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError, from_json, to_json

from evolvent.orchestrator.tools.refusals import BadResult

MOST_DEPTH = 64
_NUL = b"\\u0000"
_REPLACEMENT = "\ufffd"


@dataclass(frozen=True, slots=True)
class Plain:
    """A value in plain JSON, with its bytes. `mended` says that NULs or lone surrogates were replaced in it."""

    value: Any
    data: bytes
    mended: bool = False


def plain_json(value: object) -> Plain:
    """Bring a value into plain JSON, with NULs and lone surrogates replaced.

    Raises:
        BadResult: If it has no JSON form: a NaN, an endless or too deep structure, an object of unknown type.
    """
    if hasattr(value, "__next__"):
        raise BadResult("The value is an iterator, which may have no end; make it a list.")
    data, mended = _json_bytes(value)
    result = _read_back(data)
    if _NUL in data:
        before, data = data, to_json(_cleaned(result, 0))
        mended = mended or data != before
        result = _read_back(data)
    # Every level opens a bracket, so few brackets need no walk.
    if data.count(b"[") + data.count(b"{") > MOST_DEPTH and _deeper_than(result, MOST_DEPTH):
        raise BadResult(f"The value is nested more than {MOST_DEPTH} levels deep; make it flatter.")
    return Plain(result, data, mended)


def beginning(plain: Plain, size_bytes: int) -> str:
    """Return the first bytes of a value as text: of a string itself, else of its JSON."""
    data = plain.value.encode() if isinstance(plain.value, str) else plain.data
    return data[:size_bytes].decode("utf-8", "ignore")


def _json_bytes(value: object) -> tuple[bytes, bool]:
    """Return the value's JSON, and whether lone surrogates had to be replaced first."""
    try:
        return to_json(value, inf_nan_mode="constants"), False
    except PydanticSerializationError as error:
        if "surrogates" not in str(error):
            raise _unusable(error) from None
    try:
        return to_json(_cleaned(value, 0), inf_nan_mode="constants"), True
    except PydanticSerializationError as error:
        raise _unusable(error) from None


def _read_back(data: bytes) -> object:
    try:
        return from_json(data, allow_inf_nan=False)
    except ValueError:
        raise BadResult("The value holds a number that JSON has no form for, such as NaN or infinity.") from None


def _unusable(error: Exception) -> BadResult:
    reason = str(error).removeprefix("Error serializing to JSON: ").splitlines()[0][:200]
    return BadResult(f"The value has no JSON form ({reason}); send plain data.")


def _cleaned(value: object, depth: int) -> object:
    if isinstance(value, str):
        return value.replace("\0", _REPLACEMENT).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if depth > MOST_DEPTH:
        raise BadResult(f"The value is nested more than {MOST_DEPTH} levels deep; make it flatter.")
    if isinstance(value, BaseModel):
        return _cleaned(value.model_dump(), depth)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _cleaned(dataclasses.asdict(value), depth)
    if isinstance(value, Mapping):
        return {_cleaned(key, depth + 1): _cleaned(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple | AbstractSet):
        return [_cleaned(item, depth + 1) for item in value]
    return value


def _deeper_than(value: object, levels: int) -> bool:
    layer = [value]
    for _ in range(levels):
        layer = [
            item
            for holder in layer
            if isinstance(holder, dict | list)
            for item in (holder.values() if isinstance(holder, dict) else holder)
            if isinstance(item, dict | list)
        ]
        if not layer:
            return False
    return True
