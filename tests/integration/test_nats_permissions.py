"""Who may do what, asked of a real server: the table below is written by hand, not derived from the grants."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import nats.micro
import pytest
from nats.errors import TimeoutError as NatsTimeout
from nats.js.api import ConsumerConfig, KeyValueConfig, RetentionPolicy, StreamConfig
from nats.js.errors import KeyWrongLastSequenceError
from support.nats_users import User, connected

from evolvent.events.principal import principal_of
from evolvent.platform.nats_server import EmbeddedNats

SERVICES = {"orchestrator", "loader", "resources", "improvement", "recorder", "metrics", "gateway"}
IN_ACCOUNT = {"bootstrap", "operator", *SERVICES}
CLIENTS = {"client", "alice"}
EVERYBODY = IN_ACCOUNT | CLIENTS
REQUESTERS = {"bootstrap", "orchestrator", "resources", "improvement", "gateway", "operator"}
COMMANDERS = {"bootstrap", "improvement", "gateway", "operator"}
STREAM_READERS = {"bootstrap", "metrics", "operator"}

MAY_PUBLISH = {
    "evolvent.requests.medium.default": REQUESTERS | CLIENTS,
    "evolvent.requests.medium.default.alice": REQUESTERS,
    "evolvent.commands.cancel.r1": COMMANDERS | CLIENTS,
    "evolvent.commands.feedback._": COMMANDERS | CLIENTS,
    "evolvent.commands.outcome.r1": COMMANDERS | CLIENTS,
    "evolvent.commands.approve.r1": COMMANDERS,
    "evolvent.commands.deny.r1": COMMANDERS,
    "evolvent.runs.r1.workflow_started": {"bootstrap", "orchestrator"},
    "evolvent.events.agent_spawned": {
        "bootstrap",
        "orchestrator",
        "loader",
        "resources",
        "improvement",
        "recorder",
    },
    "evolvent.dead.REQUESTS": {"bootstrap", "orchestrator", "improvement", "recorder"},
    "evolvent.nudge.r1": {"bootstrap", "orchestrator"},
    "evolvent.stream.r1": {"bootstrap", "orchestrator", "loader"},
    "evolvent.ask.default": {"bootstrap", "gateway", "operator"} | CLIENTS,
    "evolvent.ask.default.bob": {"bootstrap", "gateway", "operator"},
    "evolvent.orchestrator.journal": {"bootstrap", "gateway", "operator"} | CLIENTS,
    "evolvent.orchestrator.resume": {"bootstrap", "operator"},
    "evolvent.loader.run": {"bootstrap", "orchestrator", "operator"},
    "evolvent.loader.instance1.run": {"bootstrap", "orchestrator", "operator"},
    "evolvent.loader.retire": {"bootstrap", "orchestrator", "improvement", "operator"},
    "evolvent.loader.warm": {"bootstrap", "orchestrator", "improvement", "operator"},
    "evolvent.improvement.insights": {"bootstrap", "metrics", "operator"},
    "evolvent.loader.instance1.stats": {"bootstrap", "orchestrator", "operator", "metrics"},
    "evolvent.resources.budgets": {"bootstrap", "orchestrator", "loader", "operator", "metrics"},
    "evolvent.resources.lease": {"bootstrap", "orchestrator", "loader", "operator"},
    "evolvent.improvement.learn": {"bootstrap", "operator"},
    "evolvent.improvement.unlearn": {"bootstrap", "operator"},
    "evolvent.improvement.roll_back": {"bootstrap", "operator"},
    "evolvent.improvement.versions": {"bootstrap", "operator"},
    "evolvent.improvement.opinions.list": {"bootstrap", "operator"} | CLIENTS,
    "evolvent.improvement.opinions.list.bob": {"bootstrap", "operator"},
    "evolvent.recorder.flush": {"bootstrap", "operator"},
    "$SRV.PING": {"bootstrap", "metrics", "gateway", "operator"} | CLIENTS,
    "$KV.evolvent_locks.lease": {"bootstrap", "improvement", "recorder"},
    "$JS.API.STREAM.CREATE.RUNS": {"bootstrap"},
    "$JS.API.STREAM.UPDATE.RUNS": {"bootstrap"},
    "$JS.API.STREAM.DELETE.NONE": {"bootstrap"},
    "$JS.API.STREAM.PURGE.RUNS": {"bootstrap", "recorder"},
    "$JS.API.STREAM.PURGE.REQUESTS": {"bootstrap"},
    "$JS.API.STREAM.MSG.DELETE.RUNS": {"bootstrap"},
    "$JS.API.STREAM.MSG.DELETE.REQUESTS": {"bootstrap", "orchestrator"},
    "$JS.API.STREAM.MSG.DELETE.DEAD_LETTERS": {"bootstrap", "operator"},
    "$JS.API.STREAM.MSG.GET.RUNS": {"bootstrap", "orchestrator", "recorder"},
    "$JS.API.DIRECT.GET.RUNS": {"bootstrap", "orchestrator", "recorder"},
    "$JS.API.DIRECT.GET.RUNS.evolvent.runs.r1.x": {"bootstrap", "orchestrator", "recorder"},
    "$JS.API.STREAM.MSG.GET.REQUESTS": {"bootstrap", "orchestrator", "metrics"},
    "$JS.API.STREAM.MSG.GET.DEAD_LETTERS": {"bootstrap", "recorder", "operator"},
    "$JS.API.STREAM.INFO.RUNS": STREAM_READERS | {"orchestrator", "recorder", "resources"},
    "$JS.API.STREAM.INFO.REQUESTS": STREAM_READERS | {"orchestrator", "resources", "improvement", "gateway"},
    "$JS.API.STREAM.INFO.COMMANDS": STREAM_READERS | {"orchestrator"},
    "$JS.API.CONSUMER.CREATE.RUNS.spy": {"bootstrap"},
    "$JS.API.CONSUMER.DELETE.RUNS.recorder_runs": {"bootstrap"},
    "$JS.API.CONSUMER.INFO.RUNS.resources_runs": STREAM_READERS | {"recorder", "resources"},
    "$JS.API.CONSUMER.MSG.NEXT.REQUESTS.orchestrator_medium": {"bootstrap", "orchestrator"},
    "$JS.API.CONSUMER.MSG.NEXT.COMMANDS.orchestrator_commands": {"bootstrap", "orchestrator"},
    "$JS.API.CONSUMER.MSG.NEXT.COMMANDS.improvement_commands": {"bootstrap", "improvement"},
    "$JS.API.CONSUMER.MSG.NEXT.RUNS.recorder_runs": {"bootstrap", "recorder"},
    "$JS.API.CONSUMER.MSG.NEXT.RUNS.resources_runs": {"bootstrap", "resources"},
    "$JS.API.CONSUMER.MSG.NEXT.DEAD_LETTERS.recorder_dead": {"bootstrap", "recorder"},
    "$JS.ACK.RUNS.recorder_runs.1.1.1.1.0": {"bootstrap", "recorder"},
    "$JS.ACK.REQUESTS.orchestrator_high.1.1.1.1.0": {"bootstrap", "orchestrator"},
    "_INBOX_orchestrator.x": {"bootstrap", *SERVICES},
    "_INBOX_client.x": {"bootstrap"},
    "anything.else": {"bootstrap"},
}
MAY_SUBSCRIBE = {
    "evolvent.runs.>": {"bootstrap", "orchestrator", "metrics", "gateway", "operator"} | CLIENTS,
    "evolvent.stream.r1": {"bootstrap", "gateway", "operator"} | CLIENTS,
    "evolvent.events.>": {"bootstrap", "metrics", "operator"},
    "evolvent.dead.>": {"bootstrap", "operator"},
    "evolvent.requests.>": {"bootstrap"},
    "evolvent.commands.>": {"bootstrap"},
    "evolvent.nudge.*": {"bootstrap", "orchestrator"},
    "evolvent.ask.>": {"bootstrap", "orchestrator"},
    "$SRV.PING": {"bootstrap", *SERVICES},
    "$JS.API.>": {"bootstrap"},
    "$JS.EVENT.ADVISORY.>": {"bootstrap"},
    "_INBOX.>": {"bootstrap"} | CLIENTS,
    "_INBOX_orchestrator.>": {"bootstrap", "orchestrator"},
    "_INBOX_client.>": {"bootstrap", "client"},
    "_R_.>": {"bootstrap"},
    ">": {"bootstrap"},
    **{f"evolvent.{service}.endpoint": {"bootstrap", service} for service in SERVICES},
}


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedNats]:
    async with EmbeddedNats(tmp_path) as server:
        await server.add_client("alice")
        async with connected(server, "bootstrap") as admin:
            js = admin.client.jetstream()
            for name, subject, retention in (
                ("REQUESTS", "evolvent.requests.>", RetentionPolicy.WORK_QUEUE),
                ("RUNS", "evolvent.runs.>", RetentionPolicy.LIMITS),
                ("COMMANDS", "evolvent.commands.>", RetentionPolicy.LIMITS),
                ("EVENTS", "evolvent.events.>", RetentionPolicy.LIMITS),
                ("DEAD_LETTERS", "evolvent.dead.>", RetentionPolicy.LIMITS),
            ):
                await js.add_stream(
                    StreamConfig(
                        name=name, subjects=[subject], retention=retention, allow_direct=True, duplicate_window=0.1
                    )
                )
        yield server


async def stored_subjects(server: EmbeddedNats, stream: str) -> list[str]:
    async with connected(server, "bootstrap") as admin:
        js = admin.client.jetstream()
        last = (await js.stream_info(stream)).state.last_seq
        return [str((await js.get_msg(stream, seq)).subject) for seq in range(1, last + 1)]


@pytest.mark.parametrize("name", sorted(EVERYBODY))
async def test_a_user_may_publish_and_subscribe_to_its_own_part_and_stays_connected(
    server: EmbeddedNats, name: str
) -> None:
    async with connected(server, name) as user:
        publishes = {subject for subject in MAY_PUBLISH if await user.may_publish(subject)}
        subscribes = {subject for subject in MAY_SUBSCRIBE if await user.may_subscribe(subject)}
        assert publishes == {subject for subject, users in MAY_PUBLISH.items() if name in users}
        assert subscribes == {subject for subject, users in MAY_SUBSCRIBE.items() if name in users}
        assert user.client.is_connected
        assert not user.disconnected.is_set()


async def test_the_system_user_sees_the_server_and_no_stream(server: EmbeddedNats) -> None:
    async with connected(server, "system") as system:
        answer = await system.client.request("$SYS.REQ.SERVER.PING", b"", timeout=5)
        assert json.loads(answer.data)["server"]["name"] == "evolvent"
        refused = await system.client.request("$JS.API.STREAM.INFO.RUNS", b"", timeout=5)
        assert json.loads(refused.data)["error"]["description"] == "JetStream not enabled for account"


@pytest.mark.parametrize(
    ("user", "stream", "durable", "subject"),
    [
        ("orchestrator", "REQUESTS", "orchestrator_medium", "evolvent.requests.medium.default"),
        ("orchestrator", "COMMANDS", "orchestrator_commands", "evolvent.commands.cancel.r1"),
        ("improvement", "COMMANDS", "improvement_commands", "evolvent.commands.feedback.r1"),
        ("recorder", "COMMANDS", "recorder_commands", "evolvent.commands.deny.r1"),
        ("recorder", "RUNS", "recorder_runs", "evolvent.runs.r1.x"),
        ("recorder", "EVENTS", "recorder_events", "evolvent.events.x"),
        ("recorder", "DEAD_LETTERS", "recorder_dead", "evolvent.dead.RUNS"),
        ("resources", "RUNS", "resources_runs", "evolvent.runs.r1.x"),
    ],
)
async def test_a_service_fetches_and_acknowledges_from_its_own_durable_consumers(
    server: EmbeddedNats, user: str, stream: str, durable: str, subject: str
) -> None:
    async with connected(server, "bootstrap") as admin, connected(server, user) as service:
        js = admin.client.jetstream()
        await js.add_consumer(stream, ConsumerConfig(durable_name=durable, filter_subject=subject))
        await js.publish(subject, b"work")
        pull = await service.client.jetstream().pull_subscribe_bind(durable=durable, stream=stream)
        (message,) = await pull.fetch(1, timeout=5)
        await message.ack_sync()
        assert message.data == b"work"
        assert (await service.client.jetstream().consumer_info(stream, durable)).num_ack_pending == 0
        assert service.refusals == []


async def test_the_orchestrator_appends_fenced_and_reads_its_journal_both_ways(server: EmbeddedNats) -> None:
    async with connected(server, "orchestrator") as orchestrator:
        js = orchestrator.client.jetstream()
        fence = {
            "Nats-Expected-Last-Subject-Sequence": "0",
            "Nats-Expected-Last-Subject-Sequence-Subject": "evolvent.runs.r1.>",
        }
        ack = await js.publish("evolvent.runs.r1.workflow_started", b"first", headers=fence)
        stored = await js.get_last_msg("RUNS", "evolvent.runs.r1.>")
        direct = await js.get_last_msg("RUNS", "evolvent.runs.r1.workflow_started", direct=True)
        assert (ack.seq, stored.data, direct.data) == (1, b"first", b"first")


async def test_improvement_and_recorder_hold_leases_in_the_locks_bucket(server: EmbeddedNats) -> None:
    async with connected(server, "bootstrap") as admin:
        await admin.client.jetstream().create_key_value(KeyValueConfig(bucket="evolvent_locks"))
    async with connected(server, "improvement") as improvement, connected(server, "recorder") as recorder:
        mine = await improvement.client.jetstream().key_value("evolvent_locks")
        theirs = await recorder.client.jetstream().key_value("evolvent_locks")
        revision = await mine.create("lease", b"improvement")
        with pytest.raises(KeyWrongLastSequenceError):
            await theirs.create("lease", b"recorder")
        assert (await theirs.get("lease")).value == b"improvement"
        await mine.update("lease", b"again", last=revision)


async def test_a_micro_service_answers_its_callers_and_shows_itself_to_clients(server: EmbeddedNats) -> None:
    async def answer(request: nats.micro.Request) -> None:
        await request.respond(b"done: " + request.data)

    async with connected(server, "loader") as loader:
        service = await nats.micro.add_service(loader.client, name="loader", version="1.0.0")
        await service.add_endpoint(name="run", subject="evolvent.loader.run", handler=answer)
        await loader.settled()
        for caller in ("orchestrator", "operator"):
            async with connected(server, caller) as user:
                assert (await user.client.request("evolvent.loader.run", b"x", timeout=5)).data == b"done: x"
        for seer in ("client", "alice", "metrics"):
            async with connected(server, seer) as user:
                seen = await user.client.request("$SRV.PING.loader", b"", timeout=5)
                assert json.loads(seen.data)["name"] == "loader"
        assert loader.refusals == []
        await service.stop()


async def test_a_client_asks_calls_the_journal_and_follows_a_run(server: EmbeddedNats) -> None:
    questions: list[str] = []
    followed: asyncio.Queue[str] = asyncio.Queue()
    async with connected(server, "orchestrator") as orchestrator, connected(server, "alice") as alice:

        async def answer(message: nats.aio.msg.Msg) -> None:
            questions.append(message.subject)
            await message.respond(b"answer")

        async def follow(message: nats.aio.msg.Msg) -> None:
            followed.put_nowait(message.subject)

        for subject in ("evolvent.ask.>", "evolvent.orchestrator.journal"):
            await orchestrator.client.subscribe(subject, cb=answer)
        for subject in ("evolvent.runs.r1.>", "evolvent.stream.r1"):
            await alice.client.subscribe(subject, cb=follow)
        await orchestrator.settled()
        await alice.settled()
        for subject in ("evolvent.ask.default", "evolvent.orchestrator.journal"):
            assert (await alice.client.request(subject, b"", timeout=5)).data == b"answer"
        assert questions == ["evolvent.ask.default.alice", "evolvent.orchestrator.journal"]
        assert principal_of(questions[0]) == "alice"
        await orchestrator.client.jetstream().publish("evolvent.runs.r1.x", b"")
        await orchestrator.client.publish("evolvent.stream.r1", b"token")
        heard = {await asyncio.wait_for(followed.get(), 5) for _ in range(2)}
        assert heard == {"evolvent.runs.r1.x", "evolvent.stream.r1"}


async def test_a_stored_request_and_command_bear_the_name_of_the_client_that_sent_them(server: EmbeddedNats) -> None:
    for name in ("client", "alice"):
        async with connected(server, name) as user:
            js = user.client.jetstream()
            assert (await js.publish("evolvent.requests.medium.default", b"{}")).stream == "REQUESTS"
            assert (await js.publish("evolvent.commands.cancel._", b"{}")).stream == "COMMANDS"
    for stream in ("REQUESTS", "COMMANDS"):
        assert [principal_of(s) for s in await stored_subjects(server, stream)] == ["client", "alice"]


@pytest.mark.parametrize(
    "headers",
    [
        'Nats-Request-Info: {"acc":"EVOLVENT","user":"operator"}\r\n',
        'A: b\nNats-Request-Info: {"acc":"EVOLVENT","user":"operator"}\r\n',
        "Evolvent-Principal: operator\r\n",
    ],
)
async def test_no_header_changes_who_a_client_is(server: EmbeddedNats, headers: str) -> None:
    block = f"NATS/1.0\r\n{headers}\r\n".encode()
    async with connected(server, "alice") as alice:
        subject = "evolvent.requests.medium.default"
        alice.client._pending.append(f"HPUB {subject} {len(block)} {len(block)}\r\n".encode() + block + b"\r\n")
        await alice.settled()
    assert [principal_of(s) for s in await stored_subjects(server, "REQUESTS")] == ["alice"]


async def test_a_client_cannot_sign_with_anothers_name(server: EmbeddedNats) -> None:
    async with connected(server, "alice") as alice:
        for forged in ("evolvent.requests.medium.default.client", "evolvent.requests.medium.default.client.alice"):
            assert not await alice.may_publish(forged)
    assert await stored_subjects(server, "REQUESTS") == []


@pytest.mark.parametrize(
    "target", ["evolvent.runs.r1.workflow_completed", "evolvent.events.x", "$JS.API.STREAM.PURGE.RUNS"]
)
async def test_a_reply_subject_cannot_steer_an_acknowledgement_into_another_stream(
    server: EmbeddedNats, target: str
) -> None:
    async with connected(server, "orchestrator") as orchestrator:
        await orchestrator.client.jetstream().publish("evolvent.runs.r0.x", b"")
    async with connected(server, "client") as client:
        await client.client.publish("evolvent.requests.medium.default", b"{}", reply=target)
        await client.settled()
        # The same connection's next acknowledgement comes after the one that was to be steered.
        await client.client.jetstream().publish("evolvent.requests.medium.default", b"{}")
    assert len(await stored_subjects(server, "REQUESTS")) == 2
    assert await stored_subjects(server, "RUNS") == ["evolvent.runs.r0.x"]
    assert await stored_subjects(server, "EVENTS") == []


async def test_a_foreign_message_id_suppresses_nothing_that_bears_none(server: EmbeddedNats) -> None:
    async def publish(user: User, headers: dict[str, str] | None) -> int:
        ack = await user.client.jetstream().publish("evolvent.requests.medium.default", b"{}", headers=headers)
        return ack.seq

    async with connected(server, "alice") as alice, connected(server, "client") as client:
        guessed = {"Nats-Msg-Id": "1"}
        assert [await publish(alice, guessed), await publish(client, None), await publish(client, None)] == [1, 2, 3]
    assert len(await stored_subjects(server, "REQUESTS")) == 3


async def test_clients_do_not_hear_each_other(server: EmbeddedNats) -> None:
    async with connected(server, "alice") as alice, connected(server, "client") as client:
        inbox = client.client.new_inbox()
        subscription = await client.client.subscribe(inbox)
        await client.settled()
        assert not await alice.may_publish(inbox)
        with pytest.raises(NatsTimeout):
            await subscription.next_msg(timeout=0.2)
