from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolvent.events.language.tools import Effect
from evolvent.improvement.variants import (
    MAX_TRACE_CALLS,
    TracedCall,
    TracedRun,
    collapse_loops,
    counted,
    signature_of,
    variant_of,
)

EFFECTS = {"look": Effect.READ, "add": Effect.PURE, "post": Effect.KEYED, "pay": Effect.IRREVERSIBLE}


def trace(names: str, *, failing: frozenset[int] = frozenset()) -> tuple[TracedCall, ...]:
    return tuple(TracedCall(n, EFFECTS.get(n, Effect.READ), i not in failing) for i, n in enumerate(names.split()))


@pytest.mark.parametrize(
    ("names", "collapsed"),
    [
        ("a", "a"),
        ("a b c", "a b c"),
        ("a a a", "a+"),
        ("a b a b", "(a b)+"),
        ("a b a b c", "(a b)+ c"),
        ("a b a", "a b a"),
        ("a a b a b", "(a+ b)+"),
        ("a b a a b", "(a+ b)+"),
        ("a b b a b", "(a b+)+"),
        ("x a b a b x a b a b a b", "(x (a b)+)+"),
        ("a b c a b c d d", "(a b c)+ d+"),
        ("", ""),
    ],
)
def test_writes_each_loop_once(names: str, collapsed: str) -> None:
    assert " ".join(collapse_loops(names.split())) == collapsed


@given(st.lists(st.sampled_from("abc"), max_size=30))
def test_nothing_but_repetitions_is_lost(names: list[str]) -> None:
    once = collapse_loops(names)
    assert len(once) <= len(names)
    kept = "".join(once).replace("(", " ").replace(")", " ").replace("+", " ").split()
    assert {c for word in kept for c in word} == set(names)
    assert all(first.removesuffix("+") != second.removesuffix("+") for first, second in pairwise(once))


@given(st.lists(st.sampled_from(["look", "post"]), min_size=1, max_size=6), st.integers(2, 5))
def test_how_often_a_loop_ran_makes_no_other_variant(body: list[str], times: int) -> None:
    twice, often = (variant_of(trace(" ".join(body * n))) for n in (2, times))
    assert twice is not None
    assert often is not None
    assert twice.variant_hash == often.variant_hash


def test_a_variant_names_its_writes_in_order() -> None:
    variant = variant_of(trace("look post look add post pay"))
    assert variant is not None
    assert variant.sequence == ("look", "post", "look", "add", "post", "pay")
    assert variant.writes == ("post+", "pay")
    assert signature_of(variant) == "look post look add post pay; writes post+ pay"


def test_order_makes_another_variant() -> None:
    first, second = variant_of(trace("look add")), variant_of(trace("add look"))
    assert first is not None
    assert second is not None
    assert first.variant_hash != second.variant_hash


def test_the_same_names_with_another_effect_are_another_variant() -> None:
    reads = variant_of((TracedCall("sync", Effect.READ),))
    writes = variant_of((TracedCall("sync", Effect.KEYED),))
    assert reads is not None
    assert writes is not None
    assert reads.collapsed == writes.collapsed
    assert reads.variant_hash != writes.variant_hash


def test_calls_that_failed_are_counted_and_make_no_other_variant() -> None:
    clean, retried = variant_of(trace("look pay")), variant_of(trace("look look pay", failing=frozenset({0})))
    assert clean is not None
    assert retried is not None
    assert retried.variant_hash == clean.variant_hash
    assert (retried.calls, retried.failed_calls) == (2, 1)


@pytest.mark.parametrize("names", ["", " ".join(["look", "add"] * (MAX_TRACE_CALLS // 2 + 1))])
def test_a_trace_without_calls_or_with_too_many_has_no_variant(names: str) -> None:
    assert variant_of(trace(names)) is None


def test_a_trace_in_which_nothing_worked_has_no_variant() -> None:
    assert variant_of(trace("look", failing=frozenset({0}))) is None


@pytest.mark.parametrize(
    ("mode", "status", "counts"),
    [
        ("live", "completed", True),
        ("live", "failed", False),
        ("live", "cancelled", False),
        ("shadow", "completed", False),
        ("replay", "completed", False),
        ("audit", "completed", False),
    ],
)
def test_only_live_runs_that_completed_count(mode: str, status: str, counts: bool) -> None:
    assert (counted(TracedRun("r", mode, status, trace("look"))) is not None) is counts
