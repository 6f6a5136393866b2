"""What ended runs say, as `evolvent status` and `evolvent budget` show it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from evolvent.platform.cli.frame import DataDir, connect, execute

if TYPE_CHECKING:
    from evolvent.events.messages.calls import BudgetView
    from evolvent.events.messages.insight_calls import Insights
    from evolvent.platform.budget_outlook import Outlook

_NO_DATA = "no data yet"


def insight_rows(insights: Insights | None, budgets: Sequence[BudgetView]) -> dict[str, Any]:
    """Return what the status says of learning and of what is to come; None where nobody found it out yet."""
    from evolvent.events.clock import SystemClock
    from evolvent.platform.budget_outlook import outlooks

    if insights is None or not insights.analytics.computed_at:
        return {"mission": None, "learning": None, "specialties": None, "failures": None, "outlooks": None}
    found = insights.analytics.model_dump(mode="json")
    said = outlooks(budgets, insights.forecasts, SystemClock().now())
    return {
        **{name: found[name] for name in ("mission", "learning", "specialties", "failures")},
        "outlooks": [outlook_row(outlook) for outlook in said.values()],
    }


def in_lines(found: dict[str, Any]) -> list[str]:
    """Return the numbers as the screen shows them, two in a line."""
    learning = [row for row in found["learning"] if row["name"] != "user_satisfaction"]  # it is among the eight
    shown = [f"{row['name'].replace('_', ' '):<26}{_value(row):<18}" for row in (*found["mission"], *learning)]
    lines = [" ".join(shown[at : at + 2]).rstrip() for at in range(0, len(shown), 2)]
    if found["specialties"]:
        lines.append("success of specialties: " + ", ".join(f"{r['name']} {_value(r)}" for r in found["specialties"]))
    if failing := _failing(found["failures"]):
        lines.append(f"patterns of failures: {failing} (`evolvent failures list`)")
    return lines


def outlook_row(outlook: Outlook) -> dict[str, Any]:
    """Return an outlook as listings print it."""
    row = asdict(outlook)
    moments = {
        name: row[name].isoformat() if row[name] is not None else None for name in ("used_up_at", "used_up_early")
    }
    return {**row, **moments, "says": outlook.sentence()}


def outlook_of(goal: str, data_dir: DataDir) -> dict[str, Any] | None:
    """Ask what a goal's budget will come to; None where that cannot be said."""
    from evolvent.events import subjects
    from evolvent.events.clock import SystemClock
    from evolvent.events.errors import EvolventError
    from evolvent.events.messages.calls import BudgetList, Empty
    from evolvent.events.messages.insight_calls import Insights
    from evolvent.platform.budget_outlook import of_goal, outlooks

    async def work() -> dict[str, Any] | None:
        async with connect(data_dir, operator=True) as client:
            budgets = await client.bus.call(subjects.endpoint("resources", "budgets"), Empty().encode())
            try:
                insights = await client.bus.call(subjects.endpoint("improvement", "insights"), Empty().encode())
            except EvolventError:
                return None  # nobody forecasts while the improvement service is off; the budget is shown all the same
            forecasts = Insights.decode(insights).forecasts
            found = outlooks(BudgetList.decode(budgets).budgets, forecasts, SystemClock().now())
            outlook = of_goal(goal, found)
            return None if outlook is None else outlook_row(outlook)

    return execute(work)


def _value(row: dict[str, Any]) -> str:
    value, unit = row["value"], row["unit"]
    if value is None:
        return _NO_DATA
    if unit == "share":
        return f"{value:.0%}"
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return f"{text} {unit}".rstrip()


def _failing(shares: Iterable[dict[str, Any]]) -> str:
    by_trend: dict[str, int] = {}
    for share in shares:
        by_trend[share["trend"]] = by_trend.get(share["trend"], 0) + share["patterns"]
    return ", ".join(f"{count} {trend}" for trend, count in sorted(by_trend.items()))
