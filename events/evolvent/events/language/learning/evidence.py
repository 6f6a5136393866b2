"""How sure may one be? Exact binomial bounds, and tests that may be looked at after every sample.

Promotion asks whether the error is below a bound: an exact binomial test, or Wald's sequential probability ratio test
(Wald 1945) of bound ÷ 10 against the bound. Rollback asks whether the error is above a bound: an e-process, the mean of
likelihood ratios against several alternatives (Ville 1939; Ramdas et al. 2023). By Ville's inequality its wealth ever
reaches 1 ÷ level with a chance of at most `level` while the error stays within the bound, however often one looks.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from evolvent.events.language.tools import Effect

CONFIDENCE: Final = 0.95
STOP_AT: Final = 1 / (1 - CONFIDENCE)
ALTERNATIVES: Final = (0.03, 0.06, 0.12, 0.25, 0.5, 0.9)
BOUNDS: Final = {Effect.PURE: 0.05, Effect.READ: 0.05, Effect.IDEMPOTENT: 0.02, Effect.KEYED: 0.01}
"""The error that a risk class may have at most; irreversible effects have none: a person decides each time."""
_STEPS = 200


def clean_samples(bound: float, *, confidence: float = CONFIDENCE) -> int:
    """Return how many samples without an error prove that the error is below a bound."""
    return math.ceil(math.log(1 - confidence) / math.log(1 - bound))


def upper_bound(errors: int, samples: int, *, confidence: float = CONFIDENCE) -> float:
    """Return the largest error rate that such samples do not speak against (Clopper and Pearson 1934, one-sided)."""
    if samples <= 0 or errors >= samples:
        return 1.0
    low, high = errors / samples, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if _at_most(errors, samples, middle) > 1 - confidence:
            low = middle
        else:
            high = middle
    return high


def _at_most(errors: int, samples: int, rate: float) -> float:
    """Return the chance of so few errors at a rate."""
    if rate >= 1.0:
        return 0.0
    if rate <= 0.0:
        return 1.0
    logs = [
        math.lgamma(samples + 1)
        - math.lgamma(k + 1)
        - math.lgamma(samples - k + 1)
        + k * math.log(rate)
        + (samples - k) * math.log1p(-rate)
        for k in range(errors + 1)
    ]
    most = max(logs)
    return min(1.0, math.exp(most) * sum(math.exp(each - most) for each in logs))


@dataclass(frozen=True, slots=True)
class Trial:
    """Samples seen so far of something that is to be promoted."""

    samples: int = 0
    errors: int = 0

    def seen(self, *, is_error: bool) -> Trial:
        """Return the trial after one more sample."""
        return Trial(self.samples + 1, self.errors + int(is_error))

    def verdict(self, bound: float, *, confidence: float = CONFIDENCE) -> Literal["promote", "refuse", "go_on"]:
        """Say whether the error is below the bound, above a tenth of it, or whether it takes more samples."""
        good = bound / 10
        ratio = self.errors * math.log(good / bound) + (self.samples - self.errors) * math.log((1 - good) / (1 - bound))
        limit = math.log(1 / (1 - confidence))
        if ratio >= limit:
            return "promote"
        return "refuse" if ratio <= -limit else "go_on"


@dataclass(frozen=True, slots=True)
class Watch:
    """An e-process against "the error is at most `bound`". `wealth` are logarithms, one for each alternative."""

    bound: float = 0.01
    samples: int = 0
    errors: int = 0
    wealth: tuple[float, ...] = ()

    def seen(self, *, is_error: bool) -> Watch:
        """Return the watch after one more sample."""
        rates = [rate for rate in ALTERNATIVES if rate > self.bound]
        before = self.wealth or (0.0,) * len(rates)
        after = tuple(
            log + (math.log(rate / self.bound) if is_error else math.log((1 - rate) / (1 - self.bound)))
            for log, rate in zip(before, rates, strict=True)
        )
        return Watch(self.bound, self.samples + 1, self.errors + int(is_error), after)

    def all_seen(self, errors: Iterable[bool]) -> Watch:
        """Return the watch after samples in order."""
        watch = self
        for is_error in errors:
            watch = watch.seen(is_error=is_error)
        return watch

    @property
    def evidence(self) -> float:
        """The wealth of who bets against the bound, from 1; at 20 the bound is given up."""
        if not self.wealth:
            return 1.0
        most = max(self.wealth)
        return math.exp(min(700.0, most)) * sum(math.exp(log - most) for log in self.wealth) / len(self.wealth)

    @property
    def is_broken(self) -> bool:
        """Say whether the bound does not hold."""
        return self.evidence >= STOP_AT
