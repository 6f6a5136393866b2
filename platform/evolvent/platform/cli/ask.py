"""`evolvent ask`: publish a request, see it through, print the answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evolvent.platform.cli.frame import (
    BAD_USAGE,
    FAILED,
    AsJson,
    DataDir,
    connect,
    examples,
    execute,
    fail,
    print_json,
    say,
)
from evolvent.platform.visible import visible

if TYPE_CHECKING:
    from evolvent.platform.client import Answer, Ask, Step

_KEYS = (
    "run_id",
    "status",
    "served_by",
    "answer",
    "error",
    "cost_usd",
    "prompt_tokens",
    "completion_tokens",
    "model_calls",
    "tool_calls",
    "duration_seconds",
    "scripted",
)


def add_to(app: typer.Typer) -> None:
    """Add this file's commands."""
    app.command(
        epilog=examples(
            "evolvent ask 'Why is index main empty?'",
            "evolvent ask 'Sum it up' --context '{\"file\": \"report.txt\"}' --follow",
            "evolvent ask 'Nightly report' --priority background --detach",
        )
    )(ask)


def ask(
    message: Annotated[str, typer.Argument(help="What is asked.")],
    goal: Annotated[str, typer.Option(help="Whose budget it is.")] = "default",
    priority: Annotated[str, typer.Option(help="critical, high, medium, low or background.")] = "medium",
    workflow: Annotated[str | None, typer.Option(help="A workflow to serve it.")] = None,
    agent: Annotated[str | None, typer.Option(help="An agent to serve it.")] = None,
    context: Annotated[str | None, typer.Option(help="Facts for the agent, as a JSON object.")] = None,
    user: Annotated[str | None, typer.Option(help="Who asks, as a label.")] = None,
    session: Annotated[str | None, typer.Option(help="Which session it belongs to, as a label.")] = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds that the run may take.")] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Show the model's text and every event as it comes.")
    ] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Publish, print the run_id, and go.")] = False,
    as_json: AsJson = False,
    data_dir: DataDir = None,
) -> None:
    """Ask something, and print the answer."""
    request: Ask = {
        "goal": goal,
        "priority": priority,
        "workflow": workflow,
        "agent": agent,
        "context": read_context(context),
        "user_id": user,
        "session_id": session,
        "timeout_seconds": timeout,
    }

    if detach:
        publish_only(message, request, as_json=as_json, data_dir=data_dir)
    else:
        see_through(message, request, follow=follow, as_json=as_json, data_dir=data_dir)


def publish_only(message: str, request: Ask, *, as_json: bool, data_dir: Path | None) -> None:
    """Publish a request and print its run_id."""

    async def work() -> str:
        async with connect(data_dir) as client:
            return await client.publish(message, **request)

    run_id = execute(work)
    print_json({"run_id": run_id}) if as_json else typer.echo(run_id)


def see_through(message: str, request: Ask, *, follow: bool, as_json: bool, data_dir: Path | None) -> None:
    """Publish a request, show what happens, print the answer; end with 1 where there is none."""

    async def whole() -> Answer:
        async with connect(data_dir) as client:
            terminal = _Terminal(everything=follow)
            on_token = terminal.token if follow and not as_json else None
            on_step = None if as_json and not follow else terminal.step
            answer = await client.ask(message, on_step=on_step, on_token=on_token, **request)
            terminal.end_line()
            return answer

    answer = execute(whole)
    _print_answer(answer, as_json=as_json)
    if not answer.ok:
        raise typer.Exit(FAILED)


def next_step(answer: Answer) -> str:
    """Return what a person can do about a run that waits or did not end well."""
    code = answer.error.code if answer.error else ""
    if answer.status == "suspended" and code.endswith("budget"):
        return "Raise the budget (`evolvent budget set`) and it goes on, or wait for the daily reset."
    if answer.status == "suspended" and code.endswith("approval"):
        return "`evolvent runs show` tells what came before."
    if answer.status == "suspended" and code.endswith("wait"):
        return f"It goes on by itself; `evolvent runs follow {answer.run_id}` shows when."
    if answer.status == "suspended":
        say_it = f"`evolvent runs resume {answer.run_id} --outcome happened`"
        return f"Say what became of it with {say_it} (or did_not_happen, failed)."
    return f"`evolvent runs show {answer.run_id}` tells the rest."


def _print_answer(answer: Answer, *, as_json: bool) -> None:
    if as_json:
        document = answer.model_dump(mode="json")
        print_json({key: document[key] for key in _KEYS})
        return
    if answer.ok:
        from evolvent.platform.cli.outputs import readable

        typer.echo(visible(answer.answer if answer.answer is not None else readable(answer.output)))
    else:
        reason = answer.error.message if answer.error else "no reason was given."
        say(f"evolvent: the run {_ENDINGS[answer.status]}: {reason} {next_step(answer)}")
    scripted = ", answered from a script and not by a model" if answer.scripted else ""
    has_begun = answer.ok or answer.model_calls or answer.tool_calls or answer.status == "suspended"
    who = answer.served_by if has_begun else None
    say(
        f"[{answer.status}, {who or 'nobody'}, {answer.duration_seconds:.2f} s, ${answer.cost_usd:.6f}, "
        f"{answer.model_calls} model and {answer.tool_calls} tool calls{scripted}; run {answer.run_id}]"
    )


_ENDINGS = {"failed": "failed", "cancelled": "was cancelled", "suspended": "waits"}


class _Terminal:
    """Text that comes in pieces, and lines about events, without one running into the other."""

    def __init__(self, *, everything: bool) -> None:
        self._everything = everything
        self._is_inside_line = False

    def token(self, text: str) -> None:
        typer.echo(visible(text), err=True, nl=False)
        self._is_inside_line = not text.endswith("\n")

    def step(self, step: Step) -> None:
        from evolvent.platform.cli.steps import sentence

        if step.type == "workflow_suspended":  # the last lines say it, with what to do about it
            return
        line = sentence(step, everything=self._everything)
        if line:
            self.end_line()
            say(line)

    def end_line(self) -> None:
        if self._is_inside_line:
            say("")
            self._is_inside_line = False


def read_context(text: str | None) -> dict[str, Any] | None:
    """Return the facts that were given as JSON; anything but an object ends the command."""
    if text is None:
        return None
    try:
        found = json.loads(text)
    except ValueError as error:
        fail(f"evolvent: --context is not JSON: {error}.", BAD_USAGE)
    if not isinstance(found, dict):
        fail('evolvent: --context must be a JSON object, such as \'{"file": "report.txt"}\'.', BAD_USAGE)
    return found
