"""What came out of a run, for a person to read: text as it is, everything else as YAML would write it."""

from __future__ import annotations

from typing import Any

import yaml

_WIDTH = 100


def readable(output: Any) -> str:
    """Return an output as text. What is no text is told as names and values, never as one long line of JSON."""
    if isinstance(output, str):
        return output
    if output is None:
        return "(It ended well, and has no output.)"
    return yaml.dump(output, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=_WIDTH).strip()


class _Plain(yaml.SafeDumper):
    """YAML without anchors, and with texts of several lines as such."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write everything out."""
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Plain.add_representer(str, _text)
