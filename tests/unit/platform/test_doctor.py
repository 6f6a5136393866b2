from __future__ import annotations

import socket
from pathlib import Path

import pytest

from evolvent.platform.doctor import examine, server_version
from evolvent.platform.nats_folder import NatsFolder
from evolvent.platform.settings import Settings, load_settings


def _settings(data_dir: Path, **environment: str) -> Settings:
    return load_settings(overrides={"data_dir": data_dir}, environment=environment)


def test_a_fresh_folder_with_a_model_server_has_no_problem(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/v1"
        assert examine(_settings(tmp_path / "new", OPENAI_BASE_URL=url), {}) == []


def test_every_problem_is_told_at_once_with_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = NatsFolder(tmp_path)
    state = folder.settle()
    folder.write_connection_files(state, {})
    (tmp_path / "client.json").chmod(0o644)
    (tmp_path / "nats").chmod(0o755)
    (tmp_path / "db").mkdir()
    (tmp_path / "db" / "records.db").write_bytes(b"this is no database" * 100)
    monkeypatch.setenv("EVOLVENT_NATS_SERVER", str(tmp_path / "no-such-binary"))
    with socket.create_server(("127.0.0.1", 0)) as closed:
        unused = closed.getsockname()[1]
    with socket.create_server(("127.0.0.1", state.port)):
        found = examine(_settings(tmp_path, OPENAI_BASE_URL=f"http://127.0.0.1:{unused}/v1"), {"EVOLVENT_DATADIR": "x"})
    told = "\n".join(str(problem) for problem in found)
    for part in (
        "EVOLVENT_DATADIR: is no setting",
        "Did you mean EVOLVENT_DATA_DIR?",
        "no-such-binary cannot be run",
        f"port {state.port} belongs to another program",
        f"chmod 600 {tmp_path}/client.json",
        f"chmod 700 {tmp_path}/nats",
        "database:",
        f"127.0.0.1:{unused} does not answer",
    ):
        assert part in told, part


@pytest.mark.parametrize(
    ("said", "version"),
    [("nats-server: v2.15.1\n", (2, 15, 1)), ("nats-server: v2.12.0-RC.2", (2, 12, 0)), ("what?", ())],
)
def test_the_version_is_read_from_what_the_server_says(said: str, version: tuple[int, ...]) -> None:
    assert server_version(said) == version
