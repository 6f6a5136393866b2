"""What a panel is, and how its queries are written."""

from __future__ import annotations

from dataclasses import dataclass

R = "[$__rate_interval]"
GOAL = 'goal=~"$goal"'
DAY = "[24h]"


@dataclass(frozen=True)
class Panel:
    """One panel: its queries are (expression, legend)."""

    title: str
    queries: tuple[tuple[str, str], ...]
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 8
    height: int = 7
    description: str = ""
    is_share: bool = False


@dataclass(frozen=True)
class Row:
    """A heading and what stands under it."""

    title: str
    panels: tuple[Panel, ...]


def number(title: str, expr: str, unit: str = "short", description: str = "") -> Panel:
    """Return a panel that shows one number."""
    return Panel(title, ((expr, ""),), unit, "stat", width=3, height=4, description=description)


def or_zero(expr: str) -> str:
    """Show zero where nothing was counted yet, or where there is nothing to divide by."""
    return f"(({expr}) > -Inf) or vector(0)"


def quantiles(metric: str) -> tuple[tuple[str, str], ...]:
    """Return the queries for the middle and the tail of a histogram."""
    return tuple(
        (f"histogram_quantile({q}, sum by (le) (rate({metric}_bucket{R})))", f"p{int(q * 100)}")
        for q in (0.5, 0.95, 0.99)
    )
