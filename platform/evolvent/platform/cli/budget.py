"""`evolvent budget`: what each goal may use, and what it has used today."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from evolvent.platform.cli.frame import AsJson, DataDir, connect, examples, execute, fail, group, print_json, print_rows

if TYPE_CHECKING:
    from evolvent.events.envelope import Message
    from evolvent.events.messages.calls import BudgetView

commands = group("budget", "What each goal may use, and what it has used today.")
Goal = Annotated[str, typer.Argument(help="Which goal; `*` is the whole platform.")]
_NO_CAP_MICROUSD = 10**15
_COLUMNS = ("goal", "spent_usd", "leased_usd", "max_daily_usd", "concurrent", "max_concurrent", "max_agents", "policy")


@commands.command("list", epilog=examples("evolvent budget list", "evolvent budget list --json"))
def list_budgets(as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """List every budget and its use today."""
    from evolvent.events.messages.calls import BudgetList, Empty

    found = BudgetList.decode(_call("budgets", Empty(), data_dir))
    print_rows((row_of(view) for view in found.budgets), _COLUMNS, as_json=as_json)


@commands.command(epilog=examples("evolvent budget show default"))
def show(goal: Goal = "default", as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """Show what a goal may use and has used today, and what it will come to at this pace."""
    from evolvent.events.messages.calls import BudgetQuery, BudgetView
    from evolvent.platform.cli.insights import outlook_of

    view = BudgetView.decode(_call("budget", BudgetQuery(goal=goal), data_dir))
    outlook = outlook_of(goal, data_dir)
    if as_json:
        print_json({**row_of(view), "outlook": outlook})
        return
    _print(view, as_json=False)
    typer.echo(outlook["says"] if outlook else f"No forecast of {goal} yet: it takes three hours in which it ran.")


@commands.command(
    "set", epilog=examples("evolvent budget set default --daily 25", "evolvent budget set research --concurrent 3")
)
def set_budget(
    goal: Goal,
    daily: Annotated[float | None, typer.Option(min=0, help="USD per UTC day.")] = None,
    concurrent: Annotated[int | None, typer.Option(min=0, help="Model turns at a time.")] = None,
    agents: Annotated[int | None, typer.Option(min=0, help="Agents that the platform may have spawned.")] = None,
    policy: Annotated[
        str | None, typer.Option(help="At the limit: queue, cheaper_model, automation_only, ask or stop.")
    ] = None,
    reopen: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Let the goal use a model again that an overrun closed.")
    ] = None,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Change a goal's limits; runs that wait for budget go on if there is enough now."""
    from evolvent.events.messages.calls import BudgetView, SetBudget

    if daily is None and concurrent is None and agents is None and policy is None and reopen is None:
        fail("evolvent: say what to change: --daily, --concurrent, --agents, --policy or --reopen.", 2)
    call = SetBudget(
        goal=goal,
        max_agents=agents,
        max_concurrent=concurrent,
        max_daily_usd=daily,
        policy=policy,
        reopen_model=reopen,
    )
    _print(BudgetView.decode(_call("set_budget", call, data_dir)), as_json=as_json)


def row_of(view: BudgetView) -> dict[str, Any]:
    """Return a budget as listings print it, with dollars beside the exact micro-dollars."""
    dollars = {
        "spent_usd": view.spent_microusd / 1e6,
        "leased_usd": view.leased_microusd / 1e6,
        "max_daily_usd": None if view.max_daily_microusd >= _NO_CAP_MICROUSD else view.max_daily_microusd / 1e6,
    }
    return {**view.model_dump(mode="json"), **dollars}


def _call(endpoint: str, message: Message, data_dir: DataDir) -> bytes:
    from evolvent.events import subjects

    async def work() -> bytes:
        async with connect(data_dir, operator=True) as client:
            return await client.bus.call(subjects.endpoint("resources", endpoint), message.encode())

    return execute(work)


def _print(view: BudgetView, *, as_json: bool) -> None:
    if as_json:
        print_json(row_of(view))
    else:
        print_rows([row_of(view)], _COLUMNS, as_json=False)
