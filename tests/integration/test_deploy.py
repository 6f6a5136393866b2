"""What `deploy/` says to Docker, NATS and systemd, as far as it can be held to the project without them."""

from __future__ import annotations

import configparser
import json
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import nats
import pytest
import yaml
from support.servers import free_port, nats_binary

from evolvent.events.nats_bus import NatsBus
from evolvent.events.principal import principal_of
from evolvent.events.subjects import SIGNED
from evolvent.platform.environment import check_names
from evolvent.platform.nats_grants import ALL_STREAMED, client_grant
from evolvent.platform.settings import Settings, load_settings

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
LASTING = {name: service for name, service in SERVICES.items() if name != "nats-volume"}
SERVICE_KEYS = {
    *("build", "image", "command", "entrypoint", "environment", "user", "restart", "stop_grace_period"),
    *("cap_add", "cap_drop", "read_only", "security_opt", "network_mode", "ports", "secrets"),
    *("depends_on", "healthcheck", "logging", "tmpfs", "volumes"),
}
"""Those keys of the compose specification that are used here."""


def test_compose_uses_keys_of_the_specification_only() -> None:
    assert {key for key in COMPOSE if not key.startswith("x-")} == {"name", "services", "volumes", "secrets"}
    for name, service in SERVICES.items():
        assert set(service) <= SERVICE_KEYS, name
        assert "image" in service, name
        assert set(service.get("healthcheck", {})) <= {"test", "interval", "timeout", "retries", "start_period"}
        assert set(service.get("build", {})) <= {"context", "dockerfile"}


def test_what_compose_refers_to_is_there() -> None:
    for name, service in SERVICES.items():
        assert set(service.get("depends_on", {})) <= set(SERVICES), name
        assert set(service.get("secrets", ())) <= set(COMPOSE["secrets"]), name
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert (DEPLOY / source).exists() if source.startswith(".") else source in COMPOSE["volumes"], volume


@pytest.mark.parametrize("name", sorted(LASTING))
def test_a_container_is_no_root_changes_nothing_of_itself_and_can_be_asked_how_it_is(name: str) -> None:
    service = LASTING[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert int(service["user"].split(":")[0]) > 0
    assert service["healthcheck"]["test"][0] == "CMD"


def test_ports_are_published_on_loopback_only_and_images_have_versions() -> None:
    for name, service in SERVICES.items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), name
        assert re.search(r":[\w.-]*\d[\w.-]*$|:local$", service["image"]), name


def test_no_secret_is_written_into_compose() -> None:
    for service in SERVICES.values():
        for key, value in service.get("environment", {}).items():
            if re.search("PASSWORD|KEY|TOKEN|SECRET", key):
                assert key.endswith("__FILE") and str(value).startswith("/run/secrets/")


def test_the_environment_of_evolvent_is_made_of_settings() -> None:
    environment = {key: str(value) for key, value in SERVICES["evolvent"]["environment"].items()}
    assert check_names(environment, Settings) == []
    del environment["EVOLVENT_CONFIG"]
    settings = load_settings(environment=environment)
    assert (settings.metrics.host, settings.profile) == ("0.0.0.0", "production")
    scraped = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text("utf-8"))["scrape_configs"][0]
    assert scraped["static_configs"] == [{"targets": [f"evolvent:{settings.metrics.port}"]}]


def made_secrets(folder: Path) -> Path:
    secrets = folder / "run" / "secrets"
    subprocess.run(["bash", str(DEPLOY / "secrets" / "make.sh"), str(secrets)], check=True, capture_output=True)
    return secrets


def test_secrets_are_made_once_for_their_owner_and_are_all_that_compose_mounts(tmp_path: Path) -> None:
    secrets = made_secrets(tmp_path)
    before = {path.name: path.read_text("utf-8") for path in secrets.iterdir()}
    assert {Path(secret["file"]).name for secret in COMPOSE["secrets"].values()} <= set(before)
    assert secrets.stat().st_mode & 0o777 == 0o700
    assert len(set(before.values())) == len(before)
    made_secrets(tmp_path)
    assert {path.name: path.read_text("utf-8") for path in secrets.iterdir()} == before
    settings = load_settings(config=secrets / "evolvent.toml", environment={})
    assert settings.nats is not None
    assert settings.nats.get_secret_value().endswith("@nats:4222")


async def test_nats_takes_its_configuration_and_signs_what_a_client_sends(tmp_path: Path) -> None:
    secrets = made_secrets(tmp_path)
    (tmp_path / "etc" / "nats").mkdir(parents=True)
    config = tmp_path / "etc" / "nats" / "nats.conf"
    text = (DEPLOY / "nats" / "nats.conf").read_text("utf-8")
    port, monitor = free_port(), free_port()
    for old, new in (
        ("0.0.0.0:4222", f"127.0.0.1:{port}"),
        (":8222", f":{monitor}"),
        ('"/data"', json.dumps(str(tmp_path / "js"))),
    ):
        assert old in text
        text = text.replace(old, new)
    config.write_text(text, "utf-8")
    server = subprocess.Popen([nats_binary(), "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        services = tomllib.loads((secrets / "evolvent.toml").read_text("utf-8"))["nats"]
        app = (secrets / "app_url").read_text("utf-8").strip()
        bus = await NatsBus.connect(services.replace("@nats:4222", f"@127.0.0.1:{port}"), name="services")
        await bus.admin.ensure_all()
        client = await nats.connect(app.replace(":4222", f":{port}"), inbox_prefix=b"_INBOX_app")
        await client.jetstream().publish("evolvent.requests.medium.default", b"{}")
        stored = await bus.last_of("REQUESTS", "evolvent.requests.>")
        assert stored is not None
        assert principal_of(stored.subject) == "app"
        await client.close()
        await bus.close()
    finally:
        server.terminate()
        server.wait(10)


def test_the_client_of_the_nats_configuration_may_do_what_every_client_may() -> None:
    text = (DEPLOY / "nats" / "nats.conf").read_text("utf-8")
    client = text[text.index("CLIENT_app") :]
    grant = client_grant("app")
    assert all(f'"{subject}"' in client for subject in (*grant.publish, *grant.subscribe))
    for subject in SIGNED:
        assert f'subject: "{subject}.app"}}, to: "{subject}"' in client
        assert f'service: "{subject}.*"' in text
    assert f'stream: "{ALL_STREAMED}"' in text


def test_the_image_installs_by_hash_runs_as_nobody_in_particular_and_names_no_host() -> None:
    dockerfile = (DEPLOY / "Dockerfile").read_text("utf-8")
    final = dockerfile[dockerfile.rindex("\nFROM ") :]
    assert "--require-hashes" in dockerfile
    assert re.search(r"^USER 10001:10001$", final, re.M)
    assert "pip install" not in final
    ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    assert "*" in ignored
    for source in re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile, re.M):
        for path in source.split():
            assert (ROOT / path).exists(), path
            assert f"!{path}" in ignored, path


def test_the_pinned_requirements_hold_every_dependency_with_hashes_and_no_host() -> None:
    text = (DEPLOY / "requirements.txt").read_text("utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    named = [*project["dependencies"], *project["optional-dependencies"]["postgres"]]
    wanted = {re.split(r"[\[><=;~! ]", dependency)[0].lower().replace("_", "-") for dependency in named}
    pinned = set(re.findall(r"^([a-z0-9.-]+)(?:\[.*?\])?==", text, re.M))
    assert wanted - pinned == set()
    assert "://" not in text
    assert all("--hash=sha256:" in block for block in re.split(r"^(?=[a-z])", text, flags=re.M) if "==" in block)


def test_the_unit_starts_what_the_command_line_has_and_keeps_itself_apart() -> None:
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(DEPLOY / "systemd" / "evolvent.service")
    assert unit["Service"]["ExecStart"].split()[:2] == ["/opt/evolvent/bin/evolvent", "up"]
    assert unit["Service"]["DynamicUser"] == "yes"
    assert unit["Service"]["ProtectSystem"] == "strict"


def test_the_script_that_installs_tools_is_a_script() -> None:
    script = ROOT / ".ci" / "install-tools"
    assert script.stat().st_mode & 0o111
    subprocess.run(["bash", "-n", str(script)], check=True)
