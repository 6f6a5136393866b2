"""What the pages name is there: paths, links, commands, settings; and their Python can be compiled."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.main import get_command

from evolvent.platform.cli.app import app
from evolvent.platform.environment import ALIASES, DELIMITER, NOT_SETTINGS, PREFIX, paths
from evolvent.platform.settings import Settings

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "deploy" / "README.md", *DOCS.rglob("*.md")])
FLOORS = {"E": "events", "O": "orchestrator", "S": "storage", "I": "improvement", "P": "platform"}
TOP = ("docs", "deploy", "tests", "examples", "benchmarks", *FLOORS.values())
FILES = ("README.md", "CHANGELOG.md", "LICENSE", "pyproject.toml", ".env.example")
PLANS = {"workflows", "learning", "functions & MCP", "routing & recovery", "gateway & console"}
_CODE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"(?<![\w/.-])evolvent((?: [a-z]+)+)")


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def named_paths(page: Path) -> Iterator[str]:
    """Yield every path of this tree in single backticks, short forms written out."""
    text = _CODE.sub("", page.read_text("utf-8"))
    for word in re.findall(r"`([\w./-]+)`", text):
        first, _, rest = word.partition("/")
        if first in FLOORS and rest and page.name == "where.md":
            yield f"{FLOORS[first]}/evolvent/{FLOORS[first]}/{rest}"
        elif (rest and first in TOP) or word in FILES:
            yield word


def commands(command: object, path: tuple[str, ...] = ()) -> Iterator[str]:
    children = getattr(command, "commands", None)
    if children is None:
        yield " ".join(path)
        return
    for child_name, child in children.items():
        yield from commands(child, (*path, child_name))


COMMANDS = dict.fromkeys(commands(get_command(app)))
GROUPS = {each.split()[0] for each in COMMANDS if " " in each}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_path_that_a_page_names_exists(page: Path) -> None:
    bases = (ROOT, ROOT / "events/evolvent", *(ROOT / f / "evolvent" for f in FLOORS.values()), page.parent)
    missing = [path for path in named_paths(page) if not any((base / path).exists() for base in bases)]
    assert missing == []


def test_where_names_a_path_or_a_plan_for_everything() -> None:
    text = (DOCS / "where.md").read_text("utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ") and "---" not in line]
    places = [row.split(" | ")[1] for row in rows if not row.startswith(("| what |", "| question |"))]
    assert len(places) > 100
    for place in places:
        assert "`" in place or "](" in place or "planned: " in place, place
        for plan in re.findall(r"planned: ([\w& ]+?)(?: \||[;().]|$)", place.removesuffix(" |")):
            assert plan.strip() in PLANS, plan


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_inside_the_tree_leads_somewhere(page: Path) -> None:
    text = _CODE.sub("", page.read_text("utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), target
        if anchor:
            titles = re.findall(r"^#+ (.+)$", found.read_text("utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", t.lower()).replace(" ", "-") for t in titles}, target


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_command_that_a_page_names_exists(page: Path) -> None:
    text = page.read_text("utf-8")
    spans = [*re.findall(r"`(evolvent [^`\n]+)`", _CODE.sub("", text))]
    spans += [line for _, body in _CODE.findall(text) for line in body.splitlines() if "evolvent " in line]
    unknown = []
    for span in spans:
        for words in (match.split() for match in _COMMAND.findall(span)):
            known = " ".join(words[:2]) in COMMANDS or words[0] in COMMANDS
            if not known and not (words[0] in GROUPS and len(words) == 1) and words[0] not in PROSE:
                unknown.append(f"evolvent {' '.join(words)}")
    assert unknown == []


PROSE = {"is", "has", "asyncio"}
"""What follows the name in transcripts of its own output."""


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_option_in_a_page_s_commands_is_one_of_the_command(page: Path) -> None:
    wrong = []
    for _, body in _CODE.findall(page.read_text("utf-8")):
        for line in body.splitlines():
            found = re.match(r"^(?:\$ )?(?:[A-Z_]+=\S+ )*evolvent ([^|>#]+)", line.strip())
            if found is None or found.group(1).split()[0] in PROSE:
                continue
            words = shlex.split(found.group(1).replace("...", ""))
            command = get_command(app)
            while words and words[0] in getattr(command, "commands", {}):
                command = command.commands[words.pop(0)]  # type: ignore[attr-defined]
            known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
            if (command.name or "") != "bench":
                wrong += [
                    f"{line}: {word}" for word in words if word.startswith("--") and word.split("=")[0] not in known
                ]
    assert wrong == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_python_block_compiles(page: Path) -> None:
    for language, body in _CODE.findall(page.read_text("utf-8")):
        if language == "python":
            compile(body, name(page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


@pytest.mark.parametrize("page", [*PAGES, ROOT / ".env.example"], ids=name)
def test_every_environment_name_is_one_that_something_reads(page: Path) -> None:
    known = {PREFIX + DELIMITER.join(path).upper() for path in paths(Settings)} | NOT_SETTINGS | set(ALIASES)
    known |= {"EVOLVENT_CRASH_AT"}
    known |= {"EVOLVENT_CHAOS_REQUESTS", "EVOLVENT_CHAOS_KILLS", "EVOLVENT_CHAOS_SEED"}
    said = set(re.findall(r"\bEVOLVENT_[A-Z_]*[A-Z]\b", page.read_text("utf-8")))
    assert said - known == set()


def test_the_help_names_every_command_and_group() -> None:
    code = "from evolvent.platform.cli.app import run\nimport sys\nrun(sys.argv[1:])"
    python = [sys.executable, "-c", code]
    done = subprocess.run([*python, "--help"], capture_output=True, text=True, check=True)
    for word in {each.split()[0] for each in COMMANDS}:
        assert word in done.stdout


def test_every_example_is_run_by_a_test() -> None:
    tests = [path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py") if path != Path(__file__)]
    for path in (ROOT / "examples").glob("*.py"):
        assert any(re.search(rf"\b{path.stem}\b", text) for text in tests), f"{path.name} is run by no test"


def test_the_environment_example_loads() -> None:
    lines = (ROOT / ".env.example").read_text("utf-8").splitlines()
    for line in lines:
        assert not line or re.fullmatch(r"#.*|#? ?[A-Z_]+=.*", line), line


def test_every_alert_has_a_line_in_the_operations_page() -> None:
    alerts = re.findall(r"alert: (\w+)", (ROOT / "deploy" / "prometheus" / "alerts.yml").read_text("utf-8"))
    told = re.findall(r"^\| (Evolvent\w+) \|", (DOCS / "operations.md").read_text("utf-8"), re.MULTILINE)
    assert told == alerts


def test_the_caps_in_limits_are_those_of_the_settings() -> None:
    rows = re.findall(r"^\| `([\w.]+)` \| (\S+) \|", (DOCS / "limits.md").read_text("utf-8"), re.MULTILINE)
    told = {setting: default for setting, default in rows if setting.split(".")[0] in Settings.model_fields}
    assert len(told) > 10
    for setting, default in told.items():
        value: object = Settings()
        for part in setting.split("."):
            value = getattr(value, part)
        assert not value if default == "none" else float(default) == value, setting
