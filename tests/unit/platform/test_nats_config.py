"""The configuration as text: what nats-server itself makes of it, and who stands in it."""

import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from evolvent.platform.nats_config import ServerPlan, render
from evolvent.platform.nats_grants import RESERVED_NAMES, service_account_grants
from evolvent.platform.nats_process import find_binary


@pytest.fixture
def plan(tmp_path: Path) -> ServerPlan:
    users = ["system", "client", "alice", *(grant.user for grant in service_account_grants())]
    return ServerPlan(
        port=14222,
        monitor_port=18222,
        store_dir=tmp_path / 'st"ore',
        log_file=tmp_path / "log",
        passwords={user: f"-{user}$\\word" for user in users},
        clients=("client", "alice"),
    )


def test_nats_server_accepts_the_configuration(plan: ServerPlan, tmp_path: Path) -> None:
    (tmp_path / "nats.conf").write_text(render(plan))
    told = subprocess.run([find_binary(), "-t", "-c", tmp_path / "nats.conf"], capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    assert "is valid" in told.stderr + told.stdout


def test_syncs_every_write_for_power_and_leaves_it_to_the_server_for_process(plan: ServerPlan) -> None:
    assert "sync_interval: always" in render(plan)
    assert "sync_interval" not in render(replace(plan, durability="process"))


def test_listens_on_loopback_only(plan: ServerPlan) -> None:
    assert re.findall(r'^(listen|http): "(.*)"$', render(plan), re.MULTILINE) == [
        ("listen", "127.0.0.1:14222"),
        ("http", "127.0.0.1:18222"),
    ]


def test_each_client_has_an_account_that_signs_with_its_own_name_only(plan: ServerPlan) -> None:
    text = render(plan)
    alice = text[text.index('"CLIENT_alice"') :]
    assert 'subject: "evolvent.requests.*.*.alice"}, to: "evolvent.requests.*.*"' in alice
    assert 'subject: "evolvent.ask.*.alice"}, to: "evolvent.ask.*"' in alice
    assert ".client" not in alice


def test_answers_may_take_two_hours(plan: ServerPlan) -> None:
    thresholds = re.findall(r'service: "(\S+)", response_threshold: "(\w+)"', render(plan))
    assert {limit for _, limit in thresholds} == {"2h"}
    assert {"evolvent.ask.*.*", "evolvent.orchestrator.journal"} <= {subject for subject, _ in thresholds}


def test_only_bootstrap_may_create_or_delete_streams_and_consumers() -> None:
    for grant in service_account_grants():
        everything = " ".join(grant.publish)
        if grant.user != "bootstrap":
            assert ">" not in grant.publish
            assert not re.search(r"CREATE|STREAM\.DELETE|STREAM\.UPDATE|CONSUMER\.DELETE|API\.>", everything), grant


def test_every_user_of_ours_is_a_name_that_no_client_can_take() -> None:
    assert {grant.user for grant in service_account_grants()} | {"system", "client", "anonymous"} == RESERVED_NAMES
