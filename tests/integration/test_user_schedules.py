from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic_core import from_json
from support.processes import TESTS, environment
from support.servers import bus_on, nats_server

from evolvent.events import subjects
from evolvent.events.clock import SystemClock
from evolvent.events.errors import RemoteError
from evolvent.events.fault_points import SCHEDULE_POINTS
from evolvent.events.messages.requests import Request
from evolvent.events.messages.schedules import AddSchedule, Missed
from evolvent.events.nats_bus import NatsBus
from evolvent.events.principal import principal_of
from evolvent.events.streams import REQUESTS
from evolvent.improvement.improvement_orchestrator import ImprovementOrchestrator
from evolvent.improvement.settings import ImprovementSettings
from evolvent.platform.bootstrap import ensure_streams
from evolvent.platform.nats_server import EmbeddedNats
from evolvent.platform.scheduling import Schedules
from evolvent.platform.settings import load_settings
from evolvent.storage.database import Databases
from evolvent.storage.schedules import ScheduleStore, StoredSchedule

QUIET = ImprovementSettings(
    wake_every_seconds=86_400, learn_every_seconds=86_400, lock_ttl_seconds=1.0, schedule_poll_seconds=0.2
)
HOUR = timedelta(hours=1)


class Wall(SystemClock):
    """The machine's time, and as much later as a test wants it."""

    def __init__(self) -> None:
        self.later = timedelta()

    def now(self) -> datetime:
        return super().now() + self.later


@dataclass
class World:
    """A bus, the databases, and keepers of schedules on them."""

    bus: NatsBus
    url: str
    databases: Databases
    clock: Wall = field(default_factory=Wall)
    keepers: list[ImprovementOrchestrator] = field(default_factory=list)

    async def keeper(
        self, settings: ImprovementSettings = QUIET, *, bus: NatsBus | None = None
    ) -> ImprovementOrchestrator:
        records, definitions = self.databases.records, self.databases.definitions
        own = ImprovementOrchestrator(bus or self.bus, records, definitions, settings, clock=self.clock)
        self.keepers.append(own)
        await own.start()
        return own

    async def requests(self) -> list[tuple[str, Request]]:
        """Every request on the bus, with its subject."""
        stored = [message async for message in self.bus.read(REQUESTS, subjects.ALL_REQUESTS)]
        return [(message.subject, Request.decode(message.data)) for message in stored]

    async def at_least(self, count: int) -> list[tuple[str, Request]]:
        async def enough() -> bool:
            return len(await self.requests()) >= count

        await until(enough)
        return await self.requests()


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(30):
        while not await is_so():
            pass


def planned_at(request: Request) -> datetime:
    return datetime.fromisoformat(request.context["schedule"]["planned_at"])


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    databases = await Databases.open(tmp_path / "data", durability="process")
    async with nats_server(tmp_path) as url, bus_on(url) as bus:
        own = World(bus, url, databases)
        yield own
        for keeper in own.keepers:
            await keeper.stop()
    await databases.close()


async def test_two_keepers_publish_each_planned_time_once_though_one_stops(world: World) -> None:
    pair = [await world.keeper() for _ in range(2)]
    await Schedules(world.bus, owner="alice").add("tick", "Tick", {"every": 1, "priority": "high", "goal": "ops"})
    await world.at_least(2)
    await next(keeper for keeper in pair if keeper.is_leading).stop()
    found = await world.at_least(5)
    assert {subject for subject, _ in found} == {"evolvent.requests.high.ops.alice"}
    times = [planned_at(request) for _, request in found]
    assert times == [times[0] + timedelta(seconds=number) for number in range(len(times))]
    assert len({request.run_id for _, request in found}) == len(found)


@pytest.mark.parametrize(("missed", "ran"), [("coalesce", [5]), ("all", [3, 4, 5]), ("skip", [])])
async def test_what_was_missed_in_a_downtime_is_run_as_the_schedule_wants_it(
    world: World, missed: Missed, ran: list[int]
) -> None:
    first = await world.keeper(bus=await NatsBus.connect(world.url, name="first"))
    schedules = Schedules(world.bus)
    began = datetime.fromisoformat(
        (await schedules.add("hourly", "Look", {"every": HOUR, "missed": missed})).created_at
    )
    await first.stop()
    await first.bus.close()
    world.clock.later = 5 * HOUR + timedelta(minutes=30)
    last = await world.keeper(QUIET.model_copy(update={"schedule_most_at_once": 3}))

    async def is_planned() -> bool:
        [row] = await schedules.all()
        return row.next_at[0] == (began + 6 * HOUR).isoformat()

    await until(is_planned)
    found = await world.at_least(len(ran))
    assert [planned_at(request) for _, request in found] == [began + hours * HOUR for hours in ran]
    world.clock.later = 6 * HOUR + timedelta(seconds=30)
    last._timetable.wake()
    found = await world.at_least(len(ran) + 1)
    assert [planned_at(request) for _, request in found] == [began + hours * HOUR for hours in (*ran, 6)]


async def test_the_same_schedule_twice_is_one_and_another_of_its_name_is_refused(world: World) -> None:
    await world.keeper(QUIET.model_copy(update={"schedules_per_principal": 2}))
    alice, bob = Schedules(world.bus, owner="alice"), Schedules(world.bus, owner="bob")
    row = await alice.add("digest", "Sum up", {"cron": "30 7 * * mon-fri", "timezone": "Europe/Berlin"})
    again = await alice.add("digest", "Sum up", {"cron": "30 7 * * mon-fri", "timezone": "Europe/Berlin"})
    assert again == row
    assert len(row.next_at) == 3
    assert {datetime.fromisoformat(moment).hour for moment in row.next_at} <= {5, 6}
    with pytest.raises(RemoteError, match="remove it first") as refused:
        await alice.add("digest", "Another", {"every": 60})
    assert refused.value.info().code == "schedule.exists"
    assert (await bob.add("digest", "Another", {"every": 60})).principal == "bob"
    await alice.add("second", "Another", {"every": 60})
    with pytest.raises(RemoteError, match="as many schedules as you may"):
        await alice.add("third", "Another", {"every": 60})


async def test_what_cannot_be_planned_is_refused_with_the_reason(world: World) -> None:
    await world.keeper()
    schedules = Schedules(world.bus)
    for cron, why in (("61 * * * *", "'61' is no minute"), ("0 0 30 2 *", "never comes")):
        with pytest.raises(RemoteError, match=why) as refused:
            await schedules.add("bad", "x", {"cron": cron})
        assert refused.value.info().code == "schedule.invalid"
    with pytest.raises(RemoteError, match="Mars/Olympus"):
        await schedules.add("bad", "x", {"cron": "@daily", "timezone": "Mars/Olympus"})
    with pytest.raises(RemoteError, match="its own run_id"):
        request = Request(message="x", run_id="3f0c1b1e-8a56-4a8e-9d4f-0d3a6d0d2f10")
        call = AddSchedule(name="bad", every_seconds=9, request=request)
        await world.bus.call(subjects.schedules("add"), call.encode())
    with pytest.raises(RemoteError, match="use one of add, list"):
        await world.bus.call(subjects.schedules("shout"), b"{}")
    assert await schedules.all() == ()


async def test_a_paused_schedule_rests_and_run_publishes_at_once(world: World) -> None:
    keeper = await world.keeper()
    schedules = Schedules(world.bus, owner="alice")
    await schedules.add("hourly", "Look", {"every": HOUR, "context": {"n": 1}, "user_id": "u"})
    assert (await schedules.tell("pause", "hourly")).next_at == ()
    ran = await schedules.tell("run", "hourly")
    [(subject, request)] = await world.requests()
    assert (subject, request.run_id) == ("evolvent.requests.medium.default.alice", ran.last_run_id)
    assert (request.message, request.user_id, request.context["n"]) == ("Look", "u", 1)
    world.clock.later = 3 * HOUR
    await keeper._timetable.turn()
    resumed = await schedules.tell("resume", "hourly")
    assert datetime.fromisoformat(resumed.next_at[0]) > world.clock.now()
    await keeper._timetable.turn()
    assert len(await world.requests()) == 1
    assert (await schedules.tell("remove", "hourly")).name == "hourly"
    with pytest.raises(RemoteError, match="You have no schedule 'hourly'"):
        await schedules.tell("show", "hourly")


async def test_a_client_reaches_its_own_schedules_only_and_the_operator_all(tmp_path: Path) -> None:
    databases = await Databases.open(tmp_path / "data", durability="process")
    async with EmbeddedNats(tmp_path / "nats") as server, bus_on(server.url_for("bootstrap")) as root:
        own, client, operator = [
            await NatsBus.connect(server.url_for(user), name=user) for user in ("improvement", "client", "operator")
        ]
        world = World(root, server.url_for("bootstrap"), databases)
        keeper = await world.keeper(bus=own)
        mine, hers, everybodys = Schedules(client), Schedules(operator, owner="alice"), Schedules(operator)
        await hers.add("digest", "Hers", {"every": HOUR})
        assert (await mine.add("digest", "Mine", {"every": HOUR})).principal == "client"
        await mine.add("tick", "Mine", {"every": 1})
        assert [row.principal for row in await mine.all()] == ["client", "client"]
        assert [row.principal for row in await everybodys.all()] == ["alice", "client", "client"]
        subject, _ = (await world.at_least(1))[0]
        assert principal_of(subject) == "client"
        await mine.tell("remove", "tick")
        with pytest.raises(RemoteError, match="alice, client have a schedule 'digest' each"):
            await everybodys.tell("remove", "digest")
        await mine.tell("remove", "digest")
        with pytest.raises(RemoteError, match="You have no schedule"):
            await mine.tell("remove", "digest")
        assert (await everybodys.tell("remove", "digest")).principal == "alice"
        await keeper.stop()
        for bus in (own, client, operator):
            await bus.close()
    await databases.close()


@pytest.mark.timeout(90)
@pytest.mark.parametrize("point", SCHEDULE_POINTS)
async def test_a_keeper_killed_between_planning_and_publishing_loses_and_repeats_no_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    given = {
        "EVOLVENT_LEARNING__LOCK_TTL_SECONDS": "1",
        "EVOLVENT_METRICS__ENABLED": "false",
        "EVOLVENT_DURABILITY": "process",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    settings = load_settings(overrides={"data_dir": tmp_path})
    databases = await Databases.open(settings.database_url, durability="process")
    began = datetime.now(UTC).replace(microsecond=0) - 3 * HOUR - timedelta(minutes=30)
    asked = AddSchedule(name="hourly", every_seconds=3600, missed="all", request=Request(message="Look"))
    await ScheduleStore(databases.definitions).add(
        StoredSchedule("s1", "alice", asked, False, began, began + HOUR), most=9
    )
    async with EmbeddedNats(tmp_path, durability="process") as nats:
        await ensure_streams(settings, nats.url_for("bootstrap"))
        await die_at(point, tmp_path, environment(**given))
        root = await NatsBus.connect(nats.url_for("bootstrap"), name="test")
        world = World(root, nats.url_for("bootstrap"), databases)
        assert len(await world.requests()) == (1 if point == "schedule.published" else 0)
        own = await NatsBus.connect(nats.url_for("improvement"), name="improvement")
        keeper = await world.keeper(bus=own)

        async def all_are_marked() -> bool:
            return len(await world.requests()) > 2 and not await store.unpublished(limit=9)

        store = ScheduleStore(databases.definitions)
        await until(all_are_marked)
        by_run = Counter((request.run_id, planned_at(request)) for _, request in await world.requests())
        assert sorted(time for _, time in by_run) == [began + hours * HOUR for hours in (1, 2, 3)]
        assert len({run_id for run_id, _ in by_run}) == 3
        # The one whose receipt died with its keeper is on the bus twice, word for word: that is one run.
        assert sorted(by_run.values()) == ([1, 1, 2] if point == "schedule.published" else [1, 1, 1])
        bodies = [m.data async for m in root.read(REQUESTS, subjects.ALL_REQUESTS)]
        assert len({from_json(body)["run_id"] for body in bodies}) == len(set(bodies)) == 3
        await keeper.stop()
        await own.close()
        await root.close()
    await databases.close()


async def die_at(point: str, data_dir: Path, env: dict[str, str]) -> None:
    """Keep schedules in a process of its own until it dies at the point."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "support.crashing_service",
        "improvement",
        str(data_dir),
        env={**env, "EVOLVENT_CRASH_AT": f"{point}:1"},
        cwd=TESTS,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
    )
    assert process.stdin is not None
    process.stdin.write(b"go\n")
    assert await asyncio.wait_for(process.wait(), 30) == -9
