"""Four ways to say which runs did the same, from the rawest to the barest; and where the values of arguments came from.

Measures, not signatures: they tell how much of a log repeats, before anything is learnt from it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from itertools import groupby

from evolvent.events.language.learning.clauses import SCRATCH_TOOLS, is_write
from evolvent.events.language.learning.provenance import value_index
from evolvent.events.language.learning.tokens import phrase
from evolvent.events.language.learning.traces import Trace

Shape = tuple[str, ...]


def raw_sequence(trace: Trace) -> Shape:
    """Return the tools called, in order."""
    return tuple(call.name for call in trace.calls)


def collapsed_sequence(trace: Trace) -> Shape:
    """Return the tools called, in order, each loop once, without those that only helped to think."""
    return tuple(name for name, _ in groupby(name for name in raw_sequence(trace) if name not in SCRATCH_TOOLS))


def effect_slice(trace: Trace) -> Shape:
    """Return the writes, in order, also those that failed: what the agent was after."""
    return tuple(call.name for call in trace.calls if is_write(call))


def write_set(trace: Trace) -> Shape:
    """Return which writes the agent was after."""
    return tuple(sorted(set(effect_slice(trace))))


def repeated_share(traces: Iterable[Trace], shape: Callable[[Trace], Shape], times: int = 3) -> float:
    """Return the share of runs whose shape occurs at least so many times."""
    counts = Counter(shape(trace) for trace in traces)
    total = sum(counts.values())
    return sum(count for count in counts.values() if count >= times) / total if total else 0.0


def provenance_shares(traces: Iterable[Trace], free_text: frozenset[str] = frozenset()) -> tuple[float, float, float]:
    """Return which shares of argument values come from the request, from an earlier result, and from neither.

    `free_text` names tools whose arguments are prose. A result that is one long text counts as having its words.
    """
    counts: Counter[str] = Counter()
    for trace in traces:
        index = value_index(trace)
        for number, arguments in enumerate(index.arguments):
            if index.calls[number].name in free_text:
                continue
            counts.update(index.source(text, number).origin for _, text in arguments if phrase(text).strip())
    total = sum(counts.values()) or 1
    return counts["request"] / total, counts["result"] / total, counts["nowhere"] / total
