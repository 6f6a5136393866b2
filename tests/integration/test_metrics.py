"""The metrics service on a real bus, scraped over real HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import json
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain
from support.metric_feed import messages
from support.metric_findings import Improvement
from support.metric_services import Loader, Orchestrator, Resources
from support.nats_users import connected
from support.servers import bus_on, free_port, nats_server

from evolvent.events.clock import SystemClock
from evolvent.events.nats_bus import NatsBus
from evolvent.platform.metric_names import METRICS, PROCESS_SERIES
from evolvent.platform.metrics import Metrics
from evolvent.platform.metrics_http import MetricsPortTaken
from evolvent.platform.nats_server import EmbeddedNats
from evolvent.platform.settings import MetricsSettings

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


class LaterClock(SystemClock):
    """A clock that is a minute ahead of the server's."""

    def now(self):  # type: ignore[no-untyped-def]
        return super().now() + timedelta(minutes=1)


@pytest.fixture
async def metrics(bus: NatsBus) -> AsyncIterator[Metrics]:
    service = Metrics(bus, MetricsSettings(), LaterClock(), max_concurrent_runs=10, poll_seconds=600)
    await service.start()
    yield service
    await service.stop()


def fetch(url: str, accept: str = "") -> tuple[int, str, str]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers={"Accept": accept}), timeout=5) as reply:
            return reply.status, reply.headers["Content-Type"], reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers["Content-Type"], error.read().decode()


async def scrape(metrics: Metrics) -> Samples:
    _, _, text = await asyncio.to_thread(fetch, metrics.url)
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in plain(text)
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[f"evolvent_{name}", tuple(sorted(labels.items()))]


async def fed(bus: NatsBus) -> None:
    for subject, data in messages():
        await bus.append(subject, data)
    await bus.flush()


async def test_what_happens_on_the_bus_is_scraped(bus: NatsBus, metrics: Metrics) -> None:
    await fed(bus)
    samples = await scrape(metrics)
    assert value(samples, "runs_started_total", goal="default", priority="high") == 1
    assert value(samples, "runs_ended_total", goal="default", status="completed") == 2
    assert value(samples, "run_duration_seconds_bucket", priority="high", le="2.5") == 1
    assert value(samples, "model_tokens_total", model="m", kind="prompt") == 100
    assert value(samples, "model_cost_usd_total", model="m") == pytest.approx(0.0007)
    assert value(samples, "tool_calls_total", tool="pay", outcome="unknown") == 1
    assert value(samples, "circuit_open", target="model:m") == 0
    assert value(samples, "dead_letters_total", stream="REQUESTS") == 1
    assert value(samples, "feedback_rating_sum") == 9
    assert value(samples, "bus_connected") == 1


async def test_what_is_stored_and_waits_is_asked_of_the_server(bus: NatsBus, metrics: Metrics) -> None:
    await fed(bus)
    for _ in range(3):
        await bus.append("evolvent.requests.low.default", b"{}")
    await metrics.poll()
    samples = await scrape(metrics)
    assert value(samples, "queue_pending_requests", priority="low") == 3
    assert value(samples, "queue_pending_requests", priority="high") == 0
    assert 59 < value(samples, "queue_oldest_age_seconds", priority="low") < 90
    assert value(samples, "queue_oldest_age_seconds", priority="high") == 0
    count = len([1 for subject, _ in messages() if subject.startswith("evolvent.runs.")])
    assert value(samples, "stream_messages", stream="RUNS") == count
    assert value(samples, "consumer_pending_messages", consumer="recorder_runs") == count
    assert value(samples, "stream_limit_bytes", stream="REQUESTS") == 1024**3


async def test_services_loaders_and_budgets_are_asked_on_the_bus(bus: NatsBus, metrics: Metrics) -> None:
    services = [Resources(bus), Loader(bus), Loader(bus), Orchestrator(bus), Orchestrator(bus)]
    for service in services:
        await service.start()
    await metrics.poll()
    samples = await scrape(metrics)
    assert value(samples, "service_instances", service="loader") == 2
    assert value(samples, "service_instances", service="recorder") == 0
    assert value(samples, "run_capacity") == 20
    assert value(samples, "loader_resident_agents", loader=services[1].instance) == 7
    assert value(samples, "loader_max_active_agents", loader=services[2].instance) == 50
    assert value(samples, "budget_spent_usd", goal="default") == 9.5
    assert value(samples, "budget_limit_usd", goal="*") == 50
    shown = {(name, dict(labels).get("goal")) for name, labels in samples}
    assert ("evolvent_budget_limit_usd", "free") not in shown, "no cap is no limit to be near to"
    assert ("evolvent_budget_max_concurrent_turns", "*") not in shown, "the platform has a cap on money and no other"
    for service in services:
        await service.stop()


async def test_the_poll_runs_by_itself_and_a_part_that_fails_stops_no_other(bus: NatsBus) -> None:
    class Watched(Metrics):
        async def poll(self) -> None:
            await super().poll()
            polled.set()

    polled = asyncio.Event()
    metrics = Watched(bus, MetricsSettings(), poll_seconds=600)
    await metrics.start()
    await asyncio.wait_for(polled.wait(), 10)
    samples = await scrape(metrics)
    assert value(samples, "poll_failures_total", part="budgets") == 1
    assert value(samples, "poll_failures_total", part="queues") == 0
    assert value(samples, "service_instances", service="metrics") == 1
    await metrics.stop()


async def test_both_text_formats_are_served_and_hold_every_metric(bus: NatsBus, metrics: Metrics) -> None:
    services = [Resources(bus), Loader(bus), Improvement(bus)]
    for service in services:
        await service.start()
    await fed(bus)
    await metrics.poll()
    _, kind, text = await asyncio.to_thread(fetch, metrics.url)
    _, open_kind, open_text = await asyncio.to_thread(fetch, metrics.url, "application/openmetrics-text; version=1.0.0")
    assert kind.startswith("text/plain")
    assert open_kind.startswith("application/openmetrics-text")
    assert open_text.endswith("# EOF\n")
    named = {sample.name for family in plain(text) for sample in family.samples}
    assert {series for metric in METRICS.values() for series in metric.series} <= named
    assert set(PROCESS_SERIES) <= named
    assert {family.name for family in openmetrics(open_text)} >= set(METRICS)
    assert "feed-" not in text
    for service in services:
        await service.stop()


async def test_health_is_told_with_its_reason_and_other_paths_are_not_there(tmp_path: Path) -> None:
    async with nats_server(tmp_path) as url, bus_on(url) as bus:
        metrics = Metrics(bus, MetricsSettings())
        await metrics.start()
        base = metrics.url.removesuffix("/metrics")
        assert base.startswith("http://127.0.0.1:")
        status, _, body = await asyncio.to_thread(fetch, f"{base}/healthz")
        assert (status, json.loads(body)) == (200, {"ready": True})
        assert (await asyncio.to_thread(fetch, f"{base}/secrets"))[0] == 404
        await bus.close()
        status, _, body = await asyncio.to_thread(fetch, f"{base}/healthz")
        assert status == 503
        assert json.loads(body) == {"ready": False, "reason": "There is no connection to the bus."}
        await metrics.stop()
    with pytest.raises(urllib.error.URLError):
        await asyncio.to_thread(fetch, f"{base}/healthz")


async def test_a_message_that_is_no_event_is_counted_and_hurts_nothing(bus: NatsBus, metrics: Metrics) -> None:
    await bus.publish("evolvent.runs.r1.workflow_completed", b"\xff not json")
    await bus.publish("evolvent.events.agent_spawned", b"[]")
    await bus.publish("evolvent.events.some_event_of_tomorrow", b"{}")
    await fed(bus)
    samples = await scrape(metrics)
    assert value(samples, "events_unreadable_total") == 2
    assert value(samples, "runs_ended_total", goal="default", status="completed") == 2


async def test_two_instances_in_one_process_keep_their_numbers_apart(bus: NatsBus, metrics: Metrics) -> None:
    await fed(bus)
    second = Metrics(bus, MetricsSettings())
    await second.start()
    assert value(await scrape(metrics), "feedback_total") == 3
    assert value(await scrape(second), "feedback_total") == 0
    await second.stop()


async def test_a_port_that_is_taken_is_said_plainly(bus: NatsBus, metrics: Metrics) -> None:
    port = int(metrics.url.rsplit(":", 1)[1].split("/")[0])
    with pytest.raises(MetricsPortTaken, match=f"127.0.0.1:{port} .*EVOLVENT_METRICS__PORT"):
        await Metrics(bus, MetricsSettings(port=port)).start()


async def test_a_chosen_port_is_used(bus: NatsBus) -> None:
    port = free_port()
    metrics = Metrics(bus, MetricsSettings(port=port))
    await metrics.start()
    assert metrics.url == f"http://127.0.0.1:{port}/metrics"
    await metrics.stop()


async def test_the_grants_of_the_user_metrics_suffice(tmp_path: Path) -> None:
    async with EmbeddedNats(tmp_path) as server:
        buses = {}
        for user in ("bootstrap", "resources", "loader", "improvement", "metrics"):
            buses[user] = await NatsBus.connect(server.url_for(user), name=user)
        await buses["bootstrap"].admin.ensure_all()
        metrics = Metrics(buses["metrics"], MetricsSettings(), LaterClock(), poll_seconds=600)
        others = (Resources(buses["resources"]), Loader(buses["loader"]), Improvement(buses["improvement"]))
        services = [*others, metrics]
        for service in services:
            await service.start()
        await buses["bootstrap"].append("evolvent.requests.low.default", b"{}")
        await fed(buses["bootstrap"])
        await metrics.poll()
        samples = await scrape(metrics)
        assert value(samples, "feedback_total") == 3
        assert value(samples, "queue_oldest_age_seconds", priority="low") > 59
        assert value(samples, "loader_resident_agents", loader=services[1].instance) == 7
        assert value(samples, "budget_spent_usd", goal="default") == 9.5
        assert value(samples, "mission", number="active_agents") == 12
        assert {value(samples, "poll_failures_total", part=part.name) for part in metrics._parts} == {0}
        for service in services:
            await service.stop()
        async with connected(server, "metrics") as user:
            assert not await user.may_publish("evolvent.resources.set_budget")
            assert not await user.may_publish("evolvent.loader.invoke")
            assert not await user.may_publish("evolvent.improvement.run_job")
        for bus in buses.values():
            await bus.close()


async def test_the_service_outlives_its_server_and_counts_that_it_came_back(tmp_path: Path) -> None:
    back = asyncio.Event()

    async def came_back() -> None:
        back.set()

    port = free_port()
    async with contextlib.AsyncExitStack() as first:
        url = await first.enter_async_context(nats_server(tmp_path, port=port))
        bus = await NatsBus.connect(url, name="test")
        await bus.admin.ensure_all()
        metrics = Metrics(bus, MetricsSettings(), poll_seconds=600)
        await metrics.start()
        await metrics.poll()
        bus.on_reconnect.append(came_back)
    await metrics.poll()
    async with nats_server(tmp_path, port=port):
        await asyncio.wait_for(back.wait(), 15)
        await fed(bus)
        await metrics.poll()
        samples = await scrape(metrics)
        assert value(samples, "bus_reconnects_total") == 1
        assert value(samples, "feedback_total") == 3
        assert value(samples, "poll_failures_total", part="queues") == 1
        assert metrics.what_is_wrong() is None
        await metrics.stop()
        await bus.close()
