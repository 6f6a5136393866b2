from __future__ import annotations

import random
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolvent.events.language.learning.evidence import Trial, Watch, clean_samples, upper_bound


@pytest.mark.parametrize(
    ("bound", "binomial", "sequential"),
    [(0.05, 59, 65), (0.02, 149, 165), (0.01, 299, 332), (0.005, 598, 664), (0.001, 2995, 3327)],
)
def test_so_many_clean_samples_are_needed(bound: float, binomial: int, sequential: int) -> None:
    assert clean_samples(bound) == binomial
    assert Trial(sequential - 1).verdict(bound) == "go_on"
    assert Trial(sequential).verdict(bound) == "promote"


def test_the_exact_bound_agrees_with_published_tables() -> None:
    assert upper_bound(0, 59) == pytest.approx(0.0495, abs=5e-4)
    assert upper_bound(1, 100) == pytest.approx(0.0466, abs=5e-4)
    assert upper_bound(5, 20) == pytest.approx(0.4556, abs=5e-4)
    assert upper_bound(3, 3) == upper_bound(0, 0) == 1.0


@given(st.integers(0, 60), st.integers(1, 60))
def test_more_errors_never_lower_the_bound(errors: int, samples: int) -> None:
    if errors < samples:
        assert upper_bound(errors, samples) <= upper_bound(errors + 1, samples) + 1e-9
        assert upper_bound(errors, samples) >= errors / samples


def test_a_trial_with_many_errors_is_refused() -> None:
    assert Trial(20, 6).verdict(0.05) == "refuse"


def audits_until_broken(rate: float, seed: int, most: int = 400) -> int | None:
    chance, watch = random.Random(seed), Watch(0.01)
    for number in range(1, most + 1):
        watch = watch.seen(is_error=chance.random() < rate)
        if watch.is_broken:
            return number
    return None


def test_within_the_bound_it_is_seldom_given_up_and_beyond_it_soon() -> None:
    false = sum(audits_until_broken(0.01, seed, 1000) is not None for seed in range(300))
    assert false / 300 <= 0.05
    for rate, most in ((0.1, 40), (0.2, 14), (0.5, 4)):
        found = [audits_until_broken(rate, seed) for seed in range(200)]
        assert median(each if each is not None else 400 for each in found) <= most


@given(st.lists(st.booleans(), max_size=60))
def test_the_evidence_is_the_mean_of_the_likelihood_ratios(errors: list[bool]) -> None:
    watch = Watch(0.01).all_seen(errors)
    expected = 0.0
    for rate in (0.03, 0.06, 0.12, 0.25, 0.5, 0.9):
        ratio = 1.0
        for is_error in errors:
            ratio *= rate / 0.01 if is_error else (1 - rate) / 0.99
        expected += ratio / 6
    assert watch.evidence == pytest.approx(expected, rel=1e-6)
