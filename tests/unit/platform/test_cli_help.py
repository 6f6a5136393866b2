from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
from typer.main import get_command

from evolvent.platform.cli.app import app

HEAVY = ("openai", "sqlmodel", "sqlalchemy", "nats", "genai_prices", "pydantic", "rich")


def _commands(command: object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, object]]:
    children = getattr(command, "commands", None)
    if children is None:
        yield " ".join(path), command
        return
    for name, child in children.items():
        yield from _commands(child, (*path, name))


ALL = dict(_commands(get_command(app)))


@pytest.mark.parametrize("name", sorted(ALL))
def test_every_command_says_what_it_does_and_shows_an_example(name: str) -> None:
    command = ALL[name]
    assert getattr(command, "help", None), name
    epilog = getattr(command, "epilog", None) or ""
    assert f"evolvent {name}" in epilog, f"{name} has no example of itself"
    for parameter in getattr(command, "params", ()):
        if parameter.name not in ("help", "install_completion", "show_completion"):
            assert getattr(parameter, "help", None), f"{name}: {parameter.name} has no help"


@pytest.mark.parametrize("name", [n for n in sorted(ALL) if n.endswith("list")])
def test_every_listing_can_be_read_by_a_program(name: str) -> None:
    assert any("--json" in parameter.opts for parameter in ALL[name].params)  # type: ignore[attr-defined]


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom evolvent.platform.cli.app import run\n"
        "try: run(['--help'])\nexcept SystemExit as e: assert e.code == 0, e.code\n"
        f"loaded = [m for m in {HEAVY!r} if m in sys.modules]\n"
        "assert not loaded, loaded"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "doctor" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nonsense"], "nonsense"),
        (["ask"], "message"),
        (["runs", "list", "--limit", "0"], "--limit"),
        (["ask", "hello", "--context", "{"], "JSON"),
        (["up", "--scale", "loader=2"], "--processes"),
        (["up", "--only", "everything"], "recorder"),
        (["serve", "nothing"], "orchestrator"),
        (["budget", "set", "default"], "--daily"),
    ],
)
def test_bad_usage_ends_with_2_and_says_what_is_wrong(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from evolvent.platform.cli.app import run

    with pytest.raises(SystemExit) as ended:
        run(arguments)
    assert ended.value.code == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.out == ""


def test_without_a_platform_a_command_says_how_to_start_one(
    tmp_path: object, capsys: pytest.CaptureFixture[str]
) -> None:
    from evolvent.platform.cli.app import run

    with pytest.raises(SystemExit) as ended:
        run(["ask", "hello", "--data-dir", f"{tmp_path}/none"])
    assert ended.value.code == 1
    assert "evolvent up" in capsys.readouterr().err
