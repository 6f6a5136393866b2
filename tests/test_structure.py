"""Rules of the house that no other tool checks."""

from __future__ import annotations

import ast
import platform as standard_platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOORS = ("platform", "events", "orchestrator", "improvement", "storage")
SOURCES = [path for floor in FLOORS for path in sorted((ROOT / floor / "evolvent").rglob("*.py"))]
BANNED_NAMES = {"utils", "helpers", "common", "misc", "models", "types", "base", "manager", "util", "helper"}
LONG_FILES = 320
LONG_FUNCTIONS = 60
MAY_BE_LONG = {
    "runs.py": "the table of a journal's events, read as one page",
    "service_account_grants": "the table of who may do what",
}


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_no_init_stands_where_it_would_hide_the_other_roots() -> None:
    for floor in FLOORS:
        assert not (ROOT / floor / "__init__.py").exists()
        assert not (ROOT / floor / "evolvent" / "__init__.py").exists()


def test_the_standard_library_s_platform_is_still_found() -> None:
    assert hasattr(standard_platform, "system")
    command = [sys.executable, "-c", "import platform; platform.system(); import evolvent.platform, evolvent.events"]
    subprocess.run(command, cwd=ROOT, check=True)


@pytest.mark.parametrize("floor", FLOORS)
def test_every_package_has_a_charter_and_is_typed(floor: str) -> None:
    package = ROOT / floor / "evolvent" / floor
    assert (package / "py.typed").exists()
    for folder in {path.parent for path in package.rglob("*.py")}:
        init = folder / "__init__.py"
        if "migrations" in folder.parts:
            continue
        assert init.exists(), f"{folder} has no __init__.py"
        assert ast.get_docstring(tree(init)), f"{init} says nothing"


def test_no_test_folder_is_a_package() -> None:
    assert not list((ROOT / "tests").rglob("__init__.py"))


def test_no_module_has_a_name_that_says_nothing() -> None:
    assert not [path for path in SOURCES if path.stem in BANNED_NAMES]


def test_files_are_short_enough_to_hold_one_idea() -> None:
    long = {str(p.relative_to(ROOT)): n for p in SOURCES if (n := len(p.read_text().splitlines())) > LONG_FILES}
    long = {name: n for name, n in long.items() if Path(name).name not in MAY_BE_LONG}
    assert not long


def test_functions_are_short_enough_to_be_read_at_once() -> None:
    long = [
        f"{path.relative_to(ROOT)}:{node.name} {lines}"
        for path in SOURCES
        if "migrations" not in path.parts
        for node in functions(path)
        if node.name not in MAY_BE_LONG
        if (lines := (node.end_lineno or 0) - node.lineno + 1) > LONG_FUNCTIONS
    ]
    assert not long


def test_our_own_modules_are_imported_openly() -> None:
    """No import of ours hides under TYPE_CHECKING or in a function; the command line imports late, to start fast."""
    hidden = []
    for path in SOURCES:
        if "cli" in path.parts:
            continue
        module = tree(path)
        top = {id(node) for node in module.body}
        for node in ast.walk(module):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("evolvent") and id(node) not in top:
                hidden.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert not hidden


def test_subjects_are_built_in_one_place() -> None:
    allowed = {"subjects.py", "streams.py", "nats_grants.py", "nats_config.py", "principal.py"}
    built = []
    for path in SOURCES:
        if path.name in allowed:
            continue
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.JoinedStr):
                text = "".join(v.value for v in node.values if isinstance(v, ast.Constant) and isinstance(v.value, str))
                if text.startswith(("evolvent.requests.", "evolvent.runs.", "evolvent.commands.", "evolvent.events.")):
                    built.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert not built


def test_every_package_is_in_the_wheel() -> None:
    import tomllib

    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = settings["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert sorted(packages) == sorted(f"{floor}/evolvent" for floor in FLOORS)
    assert "uv.lock" in (ROOT / ".gitignore").read_text()


def test_no_host_of_a_package_index_is_committed() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    for name in listed:
        path = ROOT / name
        if path.suffix in {".toml", ".txt", ".cfg", ".lock"} and path.exists():
            assert "/simple" not in path.read_text()
