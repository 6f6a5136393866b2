"""Prices: the operator's own, the vendors' published ones, and a worst case that no bill exceeds."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evolvent.events.clock import SystemClock
from evolvent.events.errors import ConfigInvalid, PriceUnknown
from evolvent.events.language.conversation import Usage
from evolvent.orchestrator.llm.pricing import PriceTable


class FixedClock(SystemClock):
    """A clock that stands still."""

    def __init__(self, at: datetime) -> None:
        self._at = at

    def now(self) -> datetime:
        return self._at


TABLE = PriceTable(
    {"mine": {"input": 2.5, "output": 10, "cached_input": 0.5}}, clock=FixedClock(datetime(2026, 11, 20, tzinfo=UTC))
)
PUBLISHED = [
    "gpt-4o",
    "gpt-4o-mini",
    "gpt-5",
    "claude-sonnet-4-5",
    "gemini-2.5-pro",
    "deepseek-chat",
    "mistral-large-latest",
]


def test_costs_are_exact_and_rounded_up_to_whole_micro_dollars() -> None:
    assert TABLE.cost("mine", Usage(prompt_tokens=1000, completion_tokens=100)) == 3500
    assert TABLE.cost("mine", Usage(prompt_tokens=1, completion_tokens=0)) == 3
    assert TABLE.cost("mine", Usage(prompt_tokens=1000, cached_tokens=400, completion_tokens=0)) == 1700
    assert TABLE.cost("mine", Usage()) == 0
    assert TABLE.worst_case("mine", 1000, 100) == 3500


def test_a_tenth_of_a_cent_per_million_is_not_lost_in_rounding() -> None:
    table = PriceTable({"tiny": {"input": 0.001, "output": 0.1}})
    assert table.cost("tiny", Usage(prompt_tokens=1)) == 1
    assert table.cost("tiny", Usage(prompt_tokens=3_000_000)) == 3000
    assert table.cost("tiny", Usage(prompt_tokens=10**9, completion_tokens=10**9)) == 101_000_000


def test_the_operators_price_beats_the_published_one_and_zero_is_a_price() -> None:
    table = PriceTable({"gpt-4o": {"input": 0, "output": 0}})
    assert table.worst_case("gpt-4o", 10**6, 10**6) == 0


def test_a_published_price_is_known_without_a_setting() -> None:
    assert TABLE.cost("gpt-4o", Usage(prompt_tokens=1_000_000, completion_tokens=1_000_000)) == 12_500_000


def test_a_long_prompt_is_leased_at_the_dearest_tier_it_could_reach() -> None:
    usage = Usage(prompt_tokens=100_000, completion_tokens=1000)
    assert TABLE.cost("claude-sonnet-4-5", usage) == 315_000
    longer = Usage(prompt_tokens=200_001, completion_tokens=1000)
    assert TABLE.cost("claude-sonnet-4-5", longer) == 200_001 * 6 + 22_500
    assert TABLE.worst_case("claude-sonnet-4-5", 200_001, 1000) >= 200_001 * 6 + 22_500
    assert TABLE.worst_case("claude-sonnet-4-5", 200_000, 1000) < 200_001 * 6


def test_a_discount_by_the_hour_does_not_lower_the_lease() -> None:
    costs = {
        PriceTable(clock=FixedClock(datetime(2026, 11, 20, hour, 45, tzinfo=UTC))).worst_case(
            "deepseek-chat", 10**6, 10**6
        )
        for hour in range(24)
    }
    assert len(costs) == 1


def test_an_unknown_model_is_refused_with_the_setting_to_write() -> None:
    for ask in (lambda: TABLE.worst_case("my-model", 1, 1), lambda: TABLE.cost("my-model", Usage())):
        with pytest.raises(PriceUnknown) as caught:
            ask()
        assert """EVOLVENT_PRICES='{"my-model": {"input": 2.5, "output": 10}}'""" in str(caught.value)


def test_a_model_that_the_table_lists_without_a_price_is_not_free() -> None:
    with pytest.raises(PriceUnknown):
        TABLE.worst_case("qwen-3-coder-480b", 1000, 1000)


def test_the_address_tells_apart_who_sells_the_model() -> None:
    name = "openai/gpt-4o"
    with pytest.raises(PriceUnknown):
        TABLE.worst_case(name, 1, 1)
    assert PriceTable(base_url="https://openrouter.ai/api/v1").worst_case(name, 10**6, 0) == 2_500_000
    assert PriceTable(base_url="http://127.0.0.1:11434/v1").worst_case("gpt-4o", 10**6, 0) == 2_500_000


@pytest.mark.parametrize(
    "prices",
    [
        {"input": math.nan, "output": 1},
        {"input": 1, "output": math.inf},
        {"input": -0.01, "output": 1},
        {"input": 1},
        {"output": 1},
        {},
        {"input": True, "output": 1},
        {"input": "1", "output": 1},
        {"input": 1, "output": 1, "inputs": 1},
        {"input": 1, "output": 1e9},
    ],
)
def test_an_override_that_is_no_price_is_refused(prices: dict[str, Any]) -> None:
    with pytest.raises(ConfigInvalid, match="prices"):
        PriceTable({"m": prices})


@given(
    st.sampled_from(["mine", *PUBLISHED]),
    st.integers(0, 2_000_000),
    st.integers(0, 200_000),
    st.data(),
)
def test_no_bill_within_the_bounds_exceeds_its_worst_case(
    model: str, bound: int, cap: int, data: st.DataObject
) -> None:
    prompt = data.draw(st.integers(0, bound))
    usage = Usage(
        prompt_tokens=prompt,
        completion_tokens=data.draw(st.integers(0, cap)),
        cached_tokens=data.draw(st.integers(0, prompt)),
    )
    assert TABLE.cost(model, usage) <= TABLE.worst_case(model, bound, cap)


@given(st.floats(0, 1000), st.floats(0, 1000), st.integers(0, 10**7), st.integers(0, 10**6))
def test_a_cost_is_never_below_the_exact_product(inp: float, out: float, prompt: int, completion: int) -> None:
    cost = PriceTable({"m": {"input": inp, "output": out}}).cost(
        "m", Usage(prompt_tokens=prompt, completion_tokens=completion)
    )
    exact = Decimal(str(inp)) * prompt + Decimal(str(out)) * completion
    assert exact <= cost <= exact + 2
