"""Text that somebody else wrote, made safe to show on a terminal.

A model, a tool or a user may write codes that move the cursor, set the window's title or turn text around. Shown as
they are, they could hide what happened. Shown in use by tests/unit/platform/test_visible.py.
"""

from __future__ import annotations

_CONTROLS = (*range(0x20), *range(0x7F, 0xA0))
_TURNS = (0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
_WRITTEN_OUT = {code: f"\\x{code:02x}" for code in _CONTROLS if chr(code) not in "\n\t"}
_WRITTEN_OUT |= {code: f"\\u{code:04x}" for code in _TURNS}


def visible(text: str) -> str:
    """Return the text with every control code, but for line feeds and tabs, written out in hex."""
    return text.translate(_WRITTEN_OUT)
