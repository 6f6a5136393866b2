"""What a turn costs, in integer micro-dollars, always rounded up.

USD per million tokens is the same number as micro-dollars per token; prices are held as integers in billionths
of that, so that no sum depends on float rounding. The offline table of `genai-prices` knows the vendors'
prices; settings come first. Where a vendor's price depends on the hour, the dearest hour of the UTC day counts,
and where it depends on the prompt's length, a lease counts the dearest length that the prompt could have.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from typing import Any

from evolvent.events.clock import Clock, SystemClock
from evolvent.events.errors import ConfigInvalid, PriceUnknown
from evolvent.events.language.conversation import Usage

_SCALE = 10**9
_DEAREST = 10**6  # USD per million tokens: a dollar per token is a slip of the pen
_TEXT_INPUT_KEYS = ("input_mtok", "cache_read_mtok", "cache_write_mtok")
_TEXT_OUTPUT_KEYS = ("output_mtok", "output_reasoning_mtok")
_OVERRIDE_KEYS = frozenset({"input", "output", "cached_input"})
_HALF_HOURS = 48


@dataclass(frozen=True)
class Price:
    """A model's price for prompts longer than `above_tokens`.

    Attributes:
        cached_input_usd_per_million: For the part of the prompt that the provider says it had cached.
        dearest_input_usd_per_million: What a prompt token may cost at most, writing it to a cache included.
        usd_per_request: A fee for each call, whatever its size.
    """

    input_usd_per_million: Decimal
    output_usd_per_million: Decimal
    cached_input_usd_per_million: Decimal
    dearest_input_usd_per_million: Decimal
    usd_per_request: Decimal = Decimal(0)
    above_tokens: int = -1


class PriceTable:
    """Prices of models: the operator's own first, then the vendors' published ones.

    Args:
        overrides: USD per million tokens by model: `{"my-model": {"input": 2.5, "output": 10}}`, where
            `cached_input` may be added. An override beats the table; zero is a price.
        clock: Says which day's prices hold.
        base_url: Address of the model server; tells apart providers that sell the same model.

    Raises:
        ConfigInvalid: An override is not a finite number of at least 0, or misses input or output.
    """

    def __init__(
        self,
        overrides: Mapping[str, Mapping[str, float]] | None = None,
        *,
        clock: Clock | None = None,
        base_url: str | None = None,
    ) -> None:
        self._own = {model: (_override(model, prices),) for model, prices in (overrides or {}).items()}
        self._clock = clock or SystemClock()
        self._base_url = base_url
        self._published: dict[tuple[str, int], tuple[Price, ...]] = {}

    def worst_case(self, model: str, prompt_bytes_bound: int, max_tokens: int) -> int:
        """Return the most that a turn can cost, in micro-dollars.

        Args:
            model: The model's name as it is asked for.
            prompt_bytes_bound: No prompt of this turn has more tokens (`events.language.prompt.prompt_bytes`).
            max_tokens: The output cap that is sent.

        Raises:
            PriceUnknown: Neither the settings nor the table know a price.
        """
        reachable = [price for price in self.prices(model) if price.above_tokens < prompt_bytes_bound]
        return _micro_usd(
            (prompt_bytes_bound, max(price.dearest_input_usd_per_million for price in reachable)),
            (max_tokens, max(price.output_usd_per_million for price in reachable)),
            (10**6, max(price.usd_per_request for price in reachable)),
        )

    def cost(self, model: str, usage: Usage) -> int:
        """Return what a turn cost, in micro-dollars.

        Raises:
            PriceUnknown: Neither the settings nor the table know a price.
        """
        applicable = [price for price in self.prices(model) if price.above_tokens < usage.prompt_tokens]
        price = applicable[-1]
        cached = min(usage.cached_tokens, usage.prompt_tokens)
        return _micro_usd(
            (usage.prompt_tokens - cached, price.input_usd_per_million),
            (cached, price.cached_input_usd_per_million),
            (usage.completion_tokens, price.output_usd_per_million),
            (10**6, price.usd_per_request),
        )

    def prices(self, model: str) -> tuple[Price, ...]:
        """Return a model's prices by length of prompt, shortest first; the first holds from zero tokens on.

        Raises:
            PriceUnknown: Neither the settings nor the table know a price.
        """
        if own := self._own.get(model):
            return own
        day = self._clock.now().astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        key = (model, day.toordinal())
        if key not in self._published:
            if len(self._published) > 1000:
                self._published.clear()
            self._published[key] = _published_prices(model, day, self._base_url)
        return self._published[key]


def _override(model: str, prices: Mapping[str, float]) -> Price:
    if unknown := sorted(set(prices) - _OVERRIDE_KEYS):
        raise ConfigInvalid(f"prices: {model!r} has {unknown}; write input, output and perhaps cached_input.")
    if not {"input", "output"} <= set(prices):
        raise ConfigInvalid(f"prices: {model!r} needs both input and output, in USD per million tokens.")
    checked = {name: _usd(model, name, value) for name, value in prices.items()}
    cached = checked.get("cached_input", checked["input"])
    return Price(checked["input"], checked["output"], cached, max(checked["input"], cached))


def _usd(model: str, name: str, value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _DEAREST:
        raise ConfigInvalid(
            f"prices: {name} of {model!r} is {value!r}; write a number of USD per million tokens from 0 to {_DEAREST}."
        )
    return Decimal(str(value))


def _published_prices(model: str, day: datetime, base_url: str | None) -> tuple[Price, ...]:
    info = _find(model, base_url)
    hours = [] if info is None else [info.get_prices(day + timedelta(minutes=30 * k)) for k in range(_HALF_HOURS)]
    distinct = list({id(price): price for price in hours}.values())
    if not distinct or any(price.input_mtok is None or price.output_mtok is None for price in distinct):
        example = json.dumps({model: {"input": 2.5, "output": 10}})
        raise PriceUnknown(
            f"Model {model!r} has no known price; name it in USD per million tokens, for example "
            f"EVOLVENT_PRICES='{example}'. Nothing was spent."
        )
    starts = {tier.start for price in distinct for value in vars(price).values() for tier in _tiers(value)}
    return tuple(_dearest(distinct, above) for above in sorted({-1, *starts}))


def _find(model: str, base_url: str | None) -> Any:
    snapshot = importlib.import_module("genai_prices.data_snapshot").get_snapshot()
    for url in dict.fromkeys((base_url, None)):
        try:
            return snapshot.find_provider_model(model, None, None, url)[1]
        except LookupError:
            continue
    return None


def _dearest(prices: Iterable[Any], above: int) -> Price:
    at = [{key: _at(value, above) for key, value in vars(price).items() if value is not None} for price in prices]
    plain = max(price["input_mtok"] for price in at)
    return Price(
        input_usd_per_million=plain,
        output_usd_per_million=max(price[key] for price in at for key in _TEXT_OUTPUT_KEYS if key in price),
        cached_input_usd_per_million=max(price.get("cache_read_mtok", plain) for price in at),
        dearest_input_usd_per_million=max(price[key] for price in at for key in _TEXT_INPUT_KEYS if key in price),
        usd_per_request=max(price.get("requests_kcount", Decimal(0)) for price in at) / 1000,
        above_tokens=above,
    )


def _tiers(value: Any) -> Iterable[Any]:
    return getattr(value, "tiers", ())


def _at(value: Any, above: int) -> Decimal:
    if isinstance(value, Decimal):
        return value
    applicable = [tier.price for tier in value.tiers if tier.start <= above]
    found = applicable[-1] if applicable else value.base
    assert isinstance(found, Decimal)
    return found


def _micro_usd(*parts: tuple[int, Decimal]) -> int:
    total = sum(count * int((price * _SCALE).to_integral_value(ROUND_CEILING)) for count, price in parts)
    return -(-total // _SCALE)
