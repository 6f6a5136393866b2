"""Pure: the way a run took through its tools, as a variant that other runs can share.

In process-mining words a run is a case, a tool call an activity, the calls in order a trace, and a variant what
traces that differ only in how often they looped have in common. `support` is how many runs took a variant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evolvent.events.language.hashing import content_hash
from evolvent.events.language.tools import Effect

MAX_LOOP_CALLS = 32
"""Longest body of a loop that is recognized; longer ones are rare, and looking for them is quadratic."""
MAX_TRACE_CALLS = 2000
"""Longer traces are no candidates for anything."""
_WRITES = frozenset({Effect.IDEMPOTENT, Effect.KEYED, Effect.IRREVERSIBLE})


@dataclass(frozen=True, slots=True)
class TracedCall:
    """A tool call as far as variants care."""

    name: str
    effect: Effect
    is_ok: bool = True


@dataclass(frozen=True, slots=True)
class TracedRun:
    """A run that ended, and its calls in the order of its journal."""

    run_id: str
    mode: str
    status: str
    calls: tuple[TracedCall, ...]


@dataclass(frozen=True, slots=True)
class Variant:
    """The way that some runs took."""

    variant_hash: str
    sequence: tuple[str, ...]
    """Names of the calls that worked, in order."""
    collapsed: tuple[str, ...]
    """The same with each loop written once: `a b a b c` is `(a b)+ c`."""
    writes: tuple[str, ...]
    """The calls that change the world, loops written once: what must not be reordered or left out."""
    calls: int
    failed_calls: int


def variant_of(trace: Sequence[TracedCall]) -> Variant | None:
    """Return the variant of a trace, or None where no call worked or there are too many.

    Calls that failed do not make another variant: an agent that tried again took the same way.
    """
    worked = [call for call in trace if call.is_ok]
    if not worked or len(worked) > MAX_TRACE_CALLS:
        return None
    sequence = tuple(call.name for call in worked)
    collapsed = collapse_loops(sequence)
    writes = collapse_loops(tuple(call.name for call in worked if call.effect in _WRITES))
    return Variant(
        variant_hash=content_hash([collapsed, writes]),
        sequence=sequence,
        collapsed=collapsed,
        writes=writes,
        calls=len(worked),
        failed_calls=len(trace) - len(worked),
    )


def collapse_loops(names: Sequence[str]) -> tuple[str, ...]:
    """Write each immediate repetition once: `a a b` is `a+ b`, `a b a b` is `(a b)+`, innermost loops first."""
    tokens = list(names)
    length = 1
    while length <= min(len(tokens) // 2, MAX_LOOP_CALLS):
        tokens, found = _collapse(tokens, length)
        # A collapsed body may make shorter blocks equal: `a b a b c` twice only shows after `(a b)+`.
        length = 1 if found and length > 1 else length + 1
    return tuple(tokens)


def counted(run: TracedRun) -> Variant | None:
    """Return the variant that this run supports, or None: only live runs that completed count."""
    if run.mode != "live" or run.status != "completed":
        return None
    return variant_of(run.calls)


def signature_of(variant: Variant) -> str:
    """Return the variant as people read it: `look (read post)+; writes post+`."""
    way = " ".join(variant.collapsed)
    return f"{way}; writes {' '.join(variant.writes)}" if variant.writes else way


def _collapse(tokens: list[str], length: int) -> tuple[list[str], bool]:
    """Replace repetitions of blocks of this length, from left to right."""
    result: list[str] = []
    found = False
    at = 0
    while at < len(tokens):
        block = tokens[at : at + length]
        end = at + length
        while len(block) == length and _stems(tokens[end : end + length]) == _stems(block):
            block = [_looped_if_either(a, b) for a, b in zip(block, tokens[end : end + length], strict=True)]
            end += length
        if end > at + length:
            result.append(_loop(block))
            found = True
            at = end
        else:
            result.append(tokens[at])
            at += 1
    return result, found


def _stems(block: Sequence[str]) -> list[str]:
    """Return the block as if nothing in it looped: `a` and `a+` are the same activity."""
    return [token.removesuffix("+") for token in block]


def _looped_if_either(first: str, second: str) -> str:
    return first if first.endswith("+") else second


def _loop(block: Sequence[str]) -> str:
    if len(block) > 1:
        return f"({' '.join(block)})+"
    return block[0] if block[0].endswith("+") else f"{block[0]}+"
