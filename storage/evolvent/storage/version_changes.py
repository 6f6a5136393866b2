"""Pure: what one version of a document changed against another, as a unified diff of YAML that stays readable."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

import yaml
from pydantic_core import to_json

MOST_CHARACTERS = 20_000
"""So much of a diff is kept, and shown."""
_MOST_BYTES = 300_000
_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def changes(before: Mapping[str, Any], after: Mapping[str, Any], *, names: tuple[str, str]) -> str:
    """Return a unified diff; what is too long to be compared, or to be kept, is said in its place."""
    sizes = len(to_json(before)), len(to_json(after))
    if max(sizes) > _MOST_BYTES:
        return f"--- {names[0]}\n+++ {names[1]}\nToo large to be compared: {sizes[0]} bytes and {sizes[1]}.\n"
    old, new = (as_yaml(each).splitlines(keepends=True) for each in (before, after))
    text = "".join(difflib.unified_diff(old, new, *names, n=2))
    if len(text) <= MOST_CHARACTERS:
        return text
    whole = text[:MOST_CHARACTERS].rpartition("\n")[0]
    return f"{whole}\n... {len(text) - len(whole)} more characters of changes.\n"


def as_yaml(document: Mapping[str, Any]) -> str:
    """Return a document as a person reads it, in the order of its fields."""
    return str(yaml.dump(dict(document), Dumper=_DUMPER, sort_keys=False, allow_unicode=True, width=100))
