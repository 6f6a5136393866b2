"""One request over the bus, with nothing but nats-py on the client's side; in one process and in many.

What a person does with the command line is shown by test_cli.py.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import nats
import nats.errors
import nats.js.errors
import psutil
import pytest
import pytest_asyncio
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg
from support.processes import Platform, platform_up, scripted_model, wait_for

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.both_shapes]

SCRIPT = """
latency: {ms_per_token: 2}
rules:
  - name: average
    when: {user: "average"}
    turns:
      - tool_calls: [{name: calculate_metrics, arguments: {values: [3, 5, 8]}}]
      - text: "The mean is {{ tool.0.result.mean }}."
  - name: slow
    when: {user: "take your time"}
    turns: [{text: "LONG"}]
default: {text: "one two three"}
""".replace("LONG", "never said to the end " * 400)
SHAPES: dict[str, tuple[str, ...]] = {
    "one process": (),
    "many processes": ("--processes", "--scale", "orchestrator=2,loader=2"),
}
SUBJECT = "evolvent.requests.medium.default"
CREW = {"ask", "improvement", "loader", "metrics", "orchestrator", "recorder", "resources", "schedules"}
ANSWER_KEYS = {
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
}
FINALS = {"workflow_completed", "workflow_failed", "workflow_cancelled"}


@pytest_asyncio.fixture(
    scope="module",
    loop_scope="module",
    params=["one process", pytest.param("many processes", marks=pytest.mark.long)],
)
async def platform(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Platform]:
    """A running platform; what it started has ended, and well, when all is over."""
    folder: Path = tmp_path_factory.mktemp("one_request")
    script = folder / "script.yaml"
    script.write_text(SCRIPT)
    async with scripted_model(folder, script) as url:
        async with platform_up(folder, url, *SHAPES[request.param]) as running:
            yield running
            children = [psutil.Process(pid) for pid in running.children()]
            assert children
        log = running.log.read_text()
        assert running.process.returncode == 0, log[-3000:]
        assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
        assert "Traceback" not in log, log[-5000:]


@asynccontextmanager
async def client_of(platform: Platform, user: str = "client") -> AsyncIterator[tuple[Nats, list[str]]]:
    """Connect as the client file says; the list holds what the server complained about."""
    url = json.loads((platform.data_dir / f"{user}.json").read_text())["nats_url"]
    complaints: list[str] = []

    async def complain(error: Exception) -> None:
        complaints.append(str(error))

    inbox = f"_INBOX_{user}" if user == "operator" else "_INBOX"
    connected = await nats.connect(url, error_cb=complain, max_reconnect_attempts=2, inbox_prefix=inbox)
    try:
        yield connected, complaints
    finally:
        await connected.close()


async def journal_of(nc: Nats, body: dict[str, Any], until: set[str] = FINALS) -> list[dict[str, Any]]:
    """Publish a request with a run_id of its own and return its run's events, as they come."""
    run_id = str(uuid.uuid4())
    heard = await nc.subscribe(f"evolvent.runs.{run_id}.>")
    await nc.publish(SUBJECT, json.dumps({**body, "run_id": run_id}).encode())
    return await events_until(heard.next_msg, until)


async def events_until(next_message: Any, until: set[str]) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    while not events or events[-1]["type"] not in until:
        message: Msg = await next_message(20)
        event = json.loads(message.data)
        assert message.subject == f"evolvent.runs.{event['run_id']}.{event['type']}"
        events.append(event)
    return events


async def dead_letter_of(platform: Platform, nc: Nats, payload: str) -> dict[str, str]:
    """Publish what cannot be handled; return the headers of its dead letter."""
    async with client_of(platform, "operator") as (operator, _):
        heard = await operator.subscribe("evolvent.dead.REQUESTS")
        await operator.flush()
        await nc.publish(SUBJECT, payload.encode())
        letter = await heard.next_msg(20)
    assert letter.data == payload.encode()
    return dict(letter.headers or {})


async def test_a_bare_message_is_a_whole_request(platform: Platform) -> None:
    async with client_of(platform) as (nc, complaints):
        heard = await nc.subscribe("evolvent.runs.>")
        await nc.publish(SUBJECT, b'{"message": "What is the average of 3 5 8?"}')
        events = await events_until(heard.next_msg, FINALS)
        with pytest.raises(nats.errors.TimeoutError):
            await heard.next_msg(0.3)
    assert complaints == []
    assert [event["type"] for event in events] == [
        "workflow_started",
        "agent_completed",
        "tool_completed",
        "workflow_completed",
    ]
    final = events[-1]
    assert final["answer"].startswith("The mean is 5.33")
    assert final["principal"] == "client"
    assert final["scripted"]
    for one, following in itertools.pairwise(events):
        assert following["causation_id"] == one["event_id"]
        assert following["occurred_at"] >= one["occurred_at"]
    run_id = final["run_id"]

    async def recorded() -> dict[str, Any] | None:
        rows = [json.loads(line) for line in (await platform.evolvent("runs", "list", "--json")).splitlines()]
        return next((row for row in rows if row["run_id"] == run_id and row["finished_at"]), None)

    row = await wait_for("the run in SQL", recorded)
    assert (row["status"], row["answer"], row["cost_microusd"]) == (
        "completed",
        final["answer"],
        final["totals"]["cost_microusd"],
    )
    story = json.loads(await platform.evolvent("runs", "show", run_id, "--json"))
    assert (story["end"]["status"], story["end"]["answer"]) == ("completed", final["answer"])


async def test_every_service_answers_where_nats_looks_for_services(platform: Platform) -> None:
    async with client_of(platform) as (nc, _):
        inbox = nc.new_inbox()
        heard = await nc.subscribe(inbox)
        await nc.publish("$SRV.INFO", b"", reply=inbox)
        found: dict[str, int] = {}
        try:
            while True:
                info = json.loads((await heard.next_msg(1.0)).data)
                name = info["name"].removeprefix("evolvent-")
                found[name] = found.get(name, 0) + 1
                assert info["version"]
                assert info["description"]
                assert info["endpoints"]
        except nats.errors.TimeoutError:
            pass
    assert set(found) == CREW
    is_one = "--processes" not in " ".join(psutil.Process(platform.process.pid).cmdline())
    assert (found["orchestrator"], found["loader"]) == ((1, 1) if is_one else (2, 2))


@pytest.mark.parametrize(
    ("payload", "code", "says"),
    [
        ("this is no JSON", "message.invalid", "JSON"),
        ('{"message": ""}', "message.invalid", "message"),
        ('{"mesage": "a typing error"}', "message.invalid", "mesage"),
        ('{"message": "hello", "run_id": "seventeen"}', "message.invalid", "run_id"),
        ('["message"]', "message.invalid", ""),
    ],
)
async def test_what_cannot_be_read_is_kept_aside_with_its_reason_and_its_neighbour_is_served(
    platform: Platform, payload: str, code: str, says: str
) -> None:
    async with client_of(platform) as (nc, _):
        letter = await dead_letter_of(platform, nc, payload)
        neighbour = await journal_of(nc, {"message": "hello"})
    assert letter["Evolvent-Error-Code"] == code
    assert says in letter["Evolvent-Reason"]
    assert neighbour[-1]["answer"] == "one two three"


async def test_what_is_too_large_is_refused_by_name_and_the_neighbour_is_served(platform: Platform) -> None:
    async with client_of(platform) as (nc, complaints):
        js = nc.jetstream(timeout=5)
        over_the_stream = json.dumps({"message": "x" * 300_000}).encode()
        with pytest.raises(nats.js.errors.APIError, match="message size exceeds"):
            await js.publish(SUBJECT, over_the_stream)
        with pytest.raises(nats.errors.MaxPayloadError):
            await nc.publish(SUBJECT, b"x" * (nc.max_payload + 1))
        neighbour = await journal_of(nc, {"message": "hello"})
    assert neighbour[-1]["type"] == "workflow_completed"
    assert complaints == []


@pytest.mark.parametrize(
    "subject", ["evolvent.runs.{run_id}.workflow_completed", "evolvent.dead.REQUESTS", "evolvent.events.agent_spawned"]
)
async def test_a_client_says_only_what_clients_may_say(platform: Platform, subject: str) -> None:
    async with client_of(platform) as (nc, complaints):
        await nc.publish(subject.format(run_id=uuid.uuid4()), b'{"type": "workflow_completed"}')
        await nc.flush()
        await wait_for("the refusal", lambda: complaints)
        assert "permissions violation for publish" in complaints[0].lower()
        neighbour = await journal_of(nc, {"message": "hello"})
    assert neighbour[-1]["type"] == "workflow_completed"


async def test_nobody_comes_in_without_a_password(platform: Platform) -> None:
    url = json.loads((platform.data_dir / "client.json").read_text())["nats_url"]
    bare = "nats://" + url.rsplit("@", 1)[1]

    async def quiet(_: Exception) -> None:
        return None

    with pytest.raises(nats.errors.Error, match=r"(?i)authorization|no servers"):
        await nats.connect(bare, allow_reconnect=False, error_cb=quiet)


async def test_a_question_by_request_and_reply_gets_its_final_event(platform: Platform) -> None:
    async with client_of(platform) as (nc, _):
        reply = await nc.request("evolvent.ask.default", b'{"message": "the average, please"}', timeout=20)
        refused = await nc.request("evolvent.ask.default", b'{"text": "?"}', timeout=20)
    answer = json.loads(reply.data)
    assert answer["answer"].startswith("The mean is")
    assert answer["status"] == "completed"
    assert refused.headers is not None
    assert refused.headers["Nats-Service-Error"] == "message.invalid"
    assert b"text" in refused.data


async def test_text_streams_while_the_model_speaks(platform: Platform) -> None:
    run_id = str(uuid.uuid4())
    async with client_of(platform) as (nc, _):
        pieces = await nc.subscribe(f"evolvent.stream.{run_id}")
        events = await nc.subscribe(f"evolvent.runs.{run_id}.>")
        await nc.publish(SUBJECT, json.dumps({"message": "hello", "stream": True, "run_id": run_id}).encode())
        text = ""
        while text != "one two three":
            text += json.loads((await pieces.next_msg(20)).data)["text"]
        assert (await events_until(events.next_msg, FINALS))[-1]["answer"] == text


async def test_a_run_in_the_middle_of_a_turn_is_cancelled(platform: Platform) -> None:
    run_id = str(uuid.uuid4())
    async with client_of(platform) as (nc, _):
        heard = await nc.subscribe(f"evolvent.runs.{run_id}.>")
        await nc.publish(SUBJECT, json.dumps({"message": "take your time", "run_id": run_id}).encode())
        await events_until(heard.next_msg, {"workflow_started"})
        receipt = await nc.jetstream().publish(f"evolvent.commands.cancel.{run_id}", b'{"reason": "too slow"}')
        assert receipt.stream == "COMMANDS"
        ending = await events_until(heard.next_msg, FINALS)
    assert [event["type"] for event in ending][-2:] == ["cancel_requested", "workflow_cancelled"]
    assert ending[-2]["reason"] == "too slow"


async def test_the_same_run_id_for_another_question_is_refused(platform: Platform) -> None:
    async with client_of(platform) as (nc, _):
        events = await journal_of(nc, {"message": "hello"})
        run_id = events[0]["run_id"]
        other = json.dumps({"message": "something else", "run_id": run_id})
        letter = await dead_letter_of(platform, nc, other)
    assert (letter["Evolvent-Error-Code"], letter["Evolvent-Run-Id"]) == ("run_id_conflict", run_id)


async def test_a_run_that_met_its_cap_goes_on_when_the_cap_is_raised(platform: Platform) -> None:
    await platform.evolvent("budget", "set", "poor", "--daily", "0")
    run_id = str(uuid.uuid4())
    async with client_of(platform) as (nc, _):
        heard = await nc.subscribe(f"evolvent.runs.{run_id}.>")
        body = json.dumps({"message": "hello", "run_id": run_id}).encode()
        await nc.publish("evolvent.requests.high.poor", body)
        waiting = await events_until(heard.next_msg, FINALS | {"workflow_suspended"})
        assert (waiting[-1]["type"], waiting[-1]["reason"]) == ("workflow_suspended", "budget")
        await platform.evolvent("budget", "set", "poor", "--daily", "1")
        rest = await events_until(heard.next_msg, FINALS)
    assert rest[0]["type"] == "workflow_resumed"
    assert rest[-1]["answer"] == "one two three"


async def test_feedback_is_kept_and_told(platform: Platform) -> None:
    async with client_of(platform) as (nc, _), client_of(platform, "operator") as (operator, _):
        run_id = (await journal_of(nc, {"message": "hello"}))[0]["run_id"]
        heard = await operator.subscribe("evolvent.events.feedback_received")
        await operator.flush()
        await platform.evolvent("improve", "Say more", "--run", run_id, "--rating", "2")
        event = json.loads((await heard.next_msg(20)).data)
    assert (event["run_id"], event["text"], event["rating"]) == (run_id, "Say more", 2)


async def test_the_command_line_gives_the_same_in_words_and_as_json(platform: Platform) -> None:
    said = await platform.evolvent("ask", "hello")
    assert said == "one two three\n"
    answer = json.loads(await platform.evolvent("ask", "the average", "--json"))
    assert set(answer) == {*ANSWER_KEYS, "scripted"}
    assert (answer["status"], answer["model_calls"], answer["tool_calls"], answer["error"]) == ("completed", 2, 1, None)


async def test_many_at_once_from_many_connections_are_all_answered(platform: Platform) -> None:
    async def one() -> list[dict[str, Any]]:
        async with client_of(platform) as (nc, _):
            return await journal_of(nc, {"message": "the average"})

    journals = await asyncio.gather(*(one() for _ in range(20)))
    assert all(events[-1]["type"] == "workflow_completed" for events in journals)
    assert len({events[-1]["run_id"] for events in journals}) == 20
