"""The embedded server's life: ports and passwords kept, deaths survived, nothing left behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import nats
import psutil
import pytest
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.api import StreamConfig
from support.nats_users import connected

from evolvent.events.errors import InvalidSubject
from evolvent.platform import nats_server
from evolvent.platform.nats_folder import ClientExists, ClientUnknown, NatsFolder, NatsStateUnreadable, PortTaken
from evolvent.platform.nats_process import NatsServerFailed, NatsServerMissing, health
from evolvent.platform.nats_server import Checkup, DataFolderInUse, EmbeddedNats, next_pause

PARENT = """
import asyncio, pathlib, sys
from evolvent.platform.nats_server import EmbeddedNats

async def main():
    async with EmbeddedNats(pathlib.Path(sys.argv[1])) as server:
        print(server.pid, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def add_run_stream(server: EmbeddedNats, events: int) -> None:
    async with connected(server, "bootstrap") as admin:
        js = admin.client.jetstream()
        await js.add_stream(StreamConfig(name="RUNS", subjects=["evolvent.runs.>"]))
        for _ in range(events):
            await js.publish("evolvent.runs.r1.x", b"event")


def start_parent(data_dir: Path) -> tuple[subprocess.Popen[str], psutil.Process]:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(data_dir)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    return parent, psutil.Process(int(parent.stdout.readline()))


async def test_a_second_start_keeps_ports_passwords_and_streams(tmp_path: Path) -> None:
    async with EmbeddedNats(tmp_path) as first:
        await add_run_stream(first, events=3)
        url, monitor_url = first.url_for("operator"), first.monitor_url
    async with EmbeddedNats(tmp_path) as second:
        assert (second.url_for("operator"), second.monitor_url) == (url, monitor_url)
        async with connected(second, "bootstrap") as admin:
            assert (await admin.client.jetstream().stream_info("RUNS")).state.messages == 3


async def test_everything_that_holds_a_password_is_for_its_owner_only(tmp_path: Path) -> None:
    tmp_path.joinpath("nats").mkdir(mode=0o755)
    async with EmbeddedNats(tmp_path) as server:
        await server.add_client("alice")
        server.write_connection_files({"metrics_url": "http://127.0.0.1:1/metrics"})
        assert mode(tmp_path / "nats") == mode(tmp_path / "clients") == 0o700
        for file in ("nats/state.json", "nats/nats.conf", "client.json", "operator.json", "clients/alice.json"):
            assert mode(tmp_path / file) == 0o600, file


async def test_the_connection_files_lead_commands_to_the_platform(tmp_path: Path) -> None:
    async with EmbeddedNats(tmp_path) as server:
        server.write_connection_files({"metrics_url": "http://m", "console_url": "http://c"})
        for user in ("client", "operator"):
            assert json.loads((tmp_path / f"{user}.json").read_text()) == {
                "nats_url": server.url_for(user),
                "inbox_prefix": f"_INBOX_{user}",
                "metrics_url": "http://m",
                "console_url": "http://c",
                "pid": os.getpid(),
            }


async def test_a_killed_server_is_back_on_its_port_within_a_second_with_its_streams(tmp_path: Path) -> None:
    async with EmbeddedNats(tmp_path) as server:
        await add_run_stream(server, events=5)
        async with connected(server, "bootstrap") as admin:
            first = server.pid
            os.kill(first, signal.SIGKILL)
            await asyncio.wait_for(admin.reconnected.wait(), 2)
            assert server.pid != first
            assert (await admin.client.jetstream().stream_info("RUNS")).state.messages == 5


@pytest.mark.skipif(not hasattr(psutil.Process, "rlimit"), reason="the fault is injected by prlimit, Linux only")
async def test_a_sticky_disk_error_is_healed_by_a_restart(tmp_path: Path) -> None:
    async with EmbeddedNats(tmp_path) as server:
        await add_run_stream(server, events=5)
        async with connected(server, "bootstrap") as admin:
            js = admin.client.jetstream()
            psutil.Process(server.pid).rlimit(psutil.RLIMIT_FSIZE, (300, 300))
            with pytest.raises(NatsError):
                await js.publish("evolvent.runs.r1.x", b"too long for the disk" * 20, timeout=1)
            port = int(server.monitor_url.rsplit(":", 1)[1])
            assert await asyncio.to_thread(health, port) == 503
            await asyncio.wait_for(admin.reconnected.wait(), 15)
            assert (await js.publish("evolvent.runs.r1.x", b"heard again" * 50)).seq == 6


async def test_the_server_goes_when_its_parent_is_killed(tmp_path: Path) -> None:
    parent, server = await asyncio.to_thread(start_parent, tmp_path)
    assert server.name() == "nats-server"
    parent.kill()
    parent.wait()
    await asyncio.to_thread(server.wait, 10)
    assert not server.is_running()


async def test_a_server_left_behind_by_a_crash_is_ended_first(tmp_path: Path) -> None:
    async with EmbeddedNats(tmp_path) as server:
        await add_run_stream(server, events=2)
        command = psutil.Process(server.pid).cmdline()
    orphan = subprocess.Popen(command)
    (tmp_path / "nats" / "nats.pid").write_text(str(orphan.pid))
    async with EmbeddedNats(tmp_path) as server, connected(server, "bootstrap") as admin:
        assert await asyncio.to_thread(orphan.wait, 10) is not None
        assert (await admin.client.jetstream().stream_info("RUNS")).state.messages == 2


async def test_a_strangers_process_with_a_reused_pid_is_left_alone(tmp_path: Path) -> None:
    stranger = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    NatsFolder(tmp_path).open()
    (tmp_path / "nats" / "nats.pid").write_text(str(stranger.pid))
    async with EmbeddedNats(tmp_path):
        assert stranger.poll() is None
    stranger.communicate(b"\n")
    assert stranger.returncode == 0


async def test_a_data_folder_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    parent, server = await asyncio.to_thread(start_parent, tmp_path)
    try:
        with pytest.raises(DataFolderInUse, match="choose another `--data-dir`"):
            await EmbeddedNats(tmp_path).start()
        assert server.is_running()
    finally:
        parent.kill()
        parent.communicate()
        await asyncio.to_thread(server.wait, 10)


async def test_a_kept_port_that_a_stranger_took_is_an_error_that_names_the_way_out(tmp_path: Path) -> None:
    state_file = tmp_path / "nats" / "state.json"
    port = NatsFolder(tmp_path).settle().port
    with socket.create_server(("127.0.0.1", port)):
        with pytest.raises(PortTaken, match=r"set 'port' to 0 in .*state\.json"):
            await EmbeddedNats(tmp_path).start()
        state_file.write_text(json.dumps({**json.loads(state_file.read_text()), "port": 0}))
        async with EmbeddedNats(tmp_path) as server:
            assert not server.url_for("client").endswith(f":{port}")


async def test_a_damaged_state_file_is_an_error_and_not_a_new_set_of_passwords(tmp_path: Path) -> None:
    NatsFolder(tmp_path).settle()
    (tmp_path / "nats" / "state.json").write_text('{"port": 1')
    with pytest.raises(NatsStateUnreadable, match=r"state\.json"):
        await EmbeddedNats(tmp_path).start()


async def test_a_server_that_ends_at_once_is_an_error_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho no disk left\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("EVOLVENT_NATS_SERVER", str(broken))
    with pytest.raises(NatsServerFailed, match="no disk left"):
        await EmbeddedNats(tmp_path).start()
    monkeypatch.setenv("EVOLVENT_NATS_SERVER", str(tmp_path / "absent"))
    with pytest.raises(NatsServerMissing, match="absent"):
        await EmbeddedNats(tmp_path).start()


async def test_a_server_is_started_from_the_main_thread_only(tmp_path: Path) -> None:
    errors: list[NatsServerFailed] = []

    def elsewhere() -> None:
        try:
            asyncio.run(EmbeddedNats(tmp_path).start())
        except NatsServerFailed as error:
            errors.append(error)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    await asyncio.to_thread(thread.join)
    assert "main thread" in str(errors[0])


async def test_clients_come_and_go_while_others_stay_connected(tmp_path: Path) -> None:
    async with EmbeddedNats(tmp_path) as server, connected(server, "client") as client:
        async with connected(server, "bootstrap") as admin:
            await admin.client.jetstream().add_stream(StreamConfig(name="Q", subjects=["evolvent.requests.>"]))
        url = await server.add_client("alice")
        assert json.loads((tmp_path / "clients" / "alice.json").read_text())["nats_url"] == url
        assert server.list_clients() == ("alice",)
        async with connected(server, "alice") as alice:
            assert (await alice.client.jetstream().publish("evolvent.requests.low.x", b"")).seq == 1
            await server.remove_client("alice")
            await asyncio.wait_for(alice.disconnected.wait(), 5)
        assert server.list_clients() == ()
        assert not (tmp_path / "clients" / "alice.json").exists()
        with pytest.raises(NatsError):
            await nats.connect(url, allow_reconnect=False, connect_timeout=2, error_cb=_ignore)
        assert (await client.client.jetstream().publish("evolvent.requests.low.x", b"")).seq == 2
        assert not client.disconnected.is_set()


async def test_an_answer_under_way_survives_the_coming_of_a_client(tmp_path: Path) -> None:
    asked: asyncio.Queue[Msg] = asyncio.Queue()
    async with (
        EmbeddedNats(tmp_path) as server,
        connected(server, "orchestrator") as orchestrator,
        connected(server, "client") as client,
    ):

        async def keep(message: Msg) -> None:
            asked.put_nowait(message)

        await orchestrator.client.subscribe("evolvent.ask.>", cb=keep)
        await orchestrator.settled()
        answer = asyncio.create_task(client.client.request("evolvent.ask.default", b"?", timeout=10))
        question = await asyncio.wait_for(asked.get(), 5)
        await server.add_client("alice")
        await question.respond(b"late but heard")
        assert (await answer).data == b"late but heard"


async def test_another_process_may_add_a_client_to_a_running_server(tmp_path: Path) -> None:
    async with EmbeddedNats(tmp_path) as server:
        code = "import sys; from evolvent.platform.nats_server import add_client; from pathlib import Path; "
        code += "add_client(Path(sys.argv[1]), 'bob')"
        await asyncio.to_thread(subprocess.run, [sys.executable, "-c", code, str(tmp_path)], check=True)
        url = json.loads((tmp_path / "clients" / "bob.json").read_text())["nats_url"]
        connection = await nats.connect(url, error_cb=_ignore)
        assert connection.is_connected
        await connection.close()
        assert server.list_clients() == ("bob",)


def test_a_client_added_before_the_first_start_waits_for_it(tmp_path: Path) -> None:
    state = nats_server.add_client(tmp_path, "early")
    assert NatsFolder(tmp_path).settle().url_for("early") == state.url_for("early")


@pytest.mark.parametrize(
    "name", ["", "a.b", "a b", "*", ">", "a" * 65, "ü", "../x", "orchestrator", "Operator", "client"]
)
def test_a_client_name_that_cannot_be_used_is_refused_by_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidSubject, match=r"A-Z a-z 0-9|Evolvent's own"):
        nats_server.add_client(tmp_path, name)


def test_adding_twice_and_removing_nobody_are_errors(tmp_path: Path) -> None:
    nats_server.add_client(tmp_path, "alice")
    with pytest.raises(ClientExists):
        nats_server.add_client(tmp_path, "Alice")
    with pytest.raises(ClientUnknown):
        nats_server.remove_client(tmp_path, "bob")


def test_three_sick_or_ten_silent_checks_call_for_a_restart_and_a_good_one_forgives() -> None:
    sick = Checkup().after(503).after(503)
    assert (sick.needs_restart, sick.after(503).needs_restart) == (False, True)
    assert sick.after(200) == Checkup()
    silent = Checkup(silent=9)
    assert (silent.needs_restart, silent.after(None).needs_restart) == (False, True)


def test_restarts_come_slower_until_the_server_has_lived_a_minute() -> None:
    assert [next_pause(0, 1), next_pause(0.05, 1), next_pause(20, 1), next_pause(30, 60)] == [0.05, 0.1, 30.0, 0.05]


async def _ignore(_: Exception) -> None:
    return
