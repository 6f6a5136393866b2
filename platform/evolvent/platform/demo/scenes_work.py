"""The first scenes: the platform starts, the plainest client asks, specialists work on what is really there."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evolvent.events import subjects
from evolvent.events.expansion import expand
from evolvent.events.language.agents import AgentSpec
from evolvent.events.messages.calls import AgentReply, SpawnAgent
from evolvent.events.messages.runs import FINAL_TYPES, AnyRunEvent, WorkflowCompleted, read_run_event
from evolvent.events.subjects import Priority
from evolvent.platform.asking import Answer, Step
from evolvent.platform.cli.steps import sentence
from evolvent.platform.demo.stage import SCRIPTED_PRICES, DemoFailed, Stage
from evolvent.platform.demo.telling import Teller

PLAINEST_CLIENT = """\
import asyncio, json, os, nats

async def main():
    nc = await nats.connect(os.environ["NATS_URL"])
    events = await nc.subscribe("evolvent.runs.>")
    request = json.dumps({"message": os.environ["MESSAGE"]})
    await nc.publish(os.environ["SUBJECT"], request.encode())
    async for event in events.messages:
        print(event.data.decode(), flush=True)
        if json.loads(event.data)["type"] in ("workflow_completed", "workflow_failed"):
            break

asyncio.run(main())
"""
"""A whole client that knows nothing of Evolvent: it is run as it stands here, in a process of its own."""
_READABLE = frozenset({".md", ".rst", ".txt", ".py", ".toml"})
_MOST_NUMBERS = 12
_CLIENT_SECONDS = 60.0


@dataclass
class Book:
    """What happened so far: what the summary is made of."""

    run_ids: list[str] = field(default_factory=list)
    agents: list[AgentSpec] = field(default_factory=list)
    evicted: list[str] = field(default_factory=list)

    def enter(self, answer: Answer) -> Answer:
        """Note a run; return its answer.

        Raises:
            DemoFailed: the run did not end well, and the story cannot go on without it.
        """
        self.run_ids.append(answer.run_id)
        if not answer.ok:
            reason = answer.error.message if answer.error else "no reason was given."
            raise DemoFailed(f"Run {answer.run_id} is {answer.status}: {reason}")
        return answer


def said(answer: str | None, *, scripted: bool) -> str:
    """Return an answer's words, with a label where no model said them."""
    return f"{'scripted: ' if scripted else ''}{answer or ''}"


async def start(stage: Stage, tell: Teller, book: Book, *, seconds: float) -> dict[str, Any]:
    """Show what runs, and where."""
    address = stage.connection.nats_url.rsplit("@", 1)[1]
    services = await stage.services()
    tell.line(f"ready after {seconds:.1f} s: nats-server with JetStream on nats://{address}, SQLite, every service")
    tell.line(f"model     {stage.model}")
    if stage.scripted is not None:
        price = SCRIPTED_PRICES["scripted"]
        tell.line(
            f"prices    made up, since a script costs nothing: ${price['input']:g} in and ${price['output']:g} out "
            "per million tokens"
        )
    tell.line(f"input     files in {' and '.join(map(str, stage.folders))}, and the state of this machine")
    tell.line(f"metrics   {stage.connection.metrics_url}")
    tell.line(f"data      {stage.settings.data_dir}")
    tell.blank()
    tell.line("Who answers on $SRV.INFO (what `nats micro list` asks):")
    rows = [(row["service"], row["instance"], row["endpoints"], row["what"]) for row in services]
    tell.table(("service", "instance", "endpoints#", "what it does"), rows, fold=("what it does",))
    return {
        "ready_seconds": round(seconds, 2),
        "services": sorted({row["service"] for row in services}),
        "folders": [str(folder) for folder in stage.folders],
        "metrics_url": stage.connection.metrics_url,
    }


async def plainest_client(stage: Stage, tell: Teller, book: Book) -> dict[str, Any]:
    """Ask with nothing but nats-py and `{"message": ...}`, and show the journal as it came."""
    question = "How is this machine doing?"
    subject = subjects.request(Priority.MEDIUM, "default")
    tell.code(PLAINEST_CLIENT)
    tell.line(f'SUBJECT={subject}  MESSAGE="{question}"')
    tell.blank()
    with tell.waiting("a client in another process asks"):
        heard = await _run_plainest_client(stage, subject, question)
    if not heard or not isinstance(last := heard[-1], WorkflowCompleted):
        raise DemoFailed(f"The plain client saw no good end: {[event.type for event in heard]}")
    book.run_ids.append(last.run_id)
    began = heard[0].occurred_at
    for event in heard:
        tell.clipped(f"{_ms(event, began):>7}  {event.type}", style="bold")
        for kind, data in expand(event):
            if line := sentence(Step(kind, data)):
                tell.clipped(f"         {line}", style="dim")
    tell.quote(said(last.answer, scripted=last.scripted))
    return {
        "run_id": last.run_id,
        "events": [event.type for event in heard],
        "scripted": last.scripted,
        "seconds": last.totals.duration_seconds,
    }


async def specialists(stage: Stage, tell: Teller, book: Book) -> dict[str, Any]:
    """Spawn an agent for each of four goals, and let all work at the same time on what is really there."""
    jobs = _jobs(stage.folders)
    with tell.waiting("agents are spawned"):
        for specialty, goal, _ in jobs:
            call = SpawnAgent(specialty=specialty, goal=goal)
            book.agents.append(AgentReply.decode(await stage.call("loader", "spawn", call.encode())).spec)
    steps: dict[str, list[Step]] = {goal: [] for _, goal, _ in jobs}
    began = time.monotonic()
    with tell.waiting("all of them work at once"):
        answers = await asyncio.gather(
            *(stage.client.ask(question, goal=goal, on_step=steps[goal].append) for _, goal, question in jobs)
        )
    took = time.monotonic() - began
    rows = []
    for spec, answer in zip(book.agents, answers, strict=True):
        book.enter(answer)
        tools = _tools(steps[spec.goal])
        rows.append((spec.agent_id, spec.goal, tools, f"{answer.duration_seconds:.2f} s", f"${answer.cost_usd:.6f}"))
    tell.table(("agent", "goal", "tools run", "took#", "cost#"), rows, fold=("tools run",))
    for (_, _, question), answer in zip(jobs, answers, strict=True):
        tell.blank()
        tell.clipped(f"? {question}", style="bold")
        tell.quote(said(answer.answer, scripted=answer.scripted), most_lines=4)
    tell.blank()
    alone = sum(answer.duration_seconds for answer in answers)
    tell.line(f"{len(answers)} runs at once: {took:.2f} s by the clock for {alone:.2f} s of runs.")
    return {
        "agents": [spec.agent_id for spec in book.agents],
        "tools": sorted({name for each in steps.values() for name in _tool_names(each)}),
        "run_ids": [answer.run_id for answer in answers],
        "seconds": round(took, 3),
    }


def _jobs(folders: Sequence[Path]) -> Sequence[tuple[str, str, str]]:
    """Return specialty, goal and question of each specialist; the questions are about real files and numbers."""
    folder, logs = folders[0], folders[-1]
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.suffix.lower() in _READABLE)
    readme = next((path for path in files if path.stem.lower() == "readme"), None)
    longest = max(files, key=lambda path: path.stat().st_size, default=None)
    document = readme if readme is not None and readme.stat().st_size > 0 else longest
    sizes = [path.stat().st_size for path in sorted(folder.rglob("*.py"))[:_MOST_NUMBERS]] or [
        path.stat().st_size for path in files[:_MOST_NUMBERS]
    ]
    listed = " ".join(map(str, sizes or [len(folder.name)]))
    return (
        ("operations", "operations", "How much memory and disk does this machine have left?"),
        ("log analyst", "logs", f"Which log lines in {logs} show an error?"),
        ("documentation", "documents", f"Summarize {document.name if document else 'README.md'}"),
        ("data analysis", "numbers", f"What is the average of these file sizes in bytes: {listed}"),
    )


async def _run_plainest_client(stage: Stage, subject: str, question: str) -> list[AnyRunEvent]:
    own = {"NATS_URL": stage.connection.nats_url, "SUBJECT": subject, "MESSAGE": question}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PLAINEST_CLIENT,
        env={**os.environ, **own},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=8 * 1024 * 1024,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), _CLIENT_SECONDS)
    except TimeoutError:
        raise DemoFailed(f"The plain client heard no end of its run within {_CLIENT_SECONDS:.0f} s.") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise DemoFailed(f"The plain client failed: {err.decode(errors='replace').strip().splitlines()[-1:]}")
    events = [read_run_event(line) for line in out.splitlines() if json.loads(line).get("type")]
    last = next((event.run_id for event in events if event.type in FINAL_TYPES), None)
    return [event for event in events if event.run_id == last]


def _ms(event: AnyRunEvent, began: Any) -> str:
    return f"+{(event.occurred_at - began).total_seconds() * 1000:.0f} ms"


def _tool_names(steps: Sequence[Step]) -> list[str]:
    return [str(step.data["name"]) for step in steps if step.type == "tool_completed"]


def _tools(steps: Sequence[Step]) -> str:
    return ", ".join(_tool_names(steps)) or "none"
