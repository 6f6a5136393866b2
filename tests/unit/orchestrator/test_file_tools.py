"""File tools read plain files in the allowed folders, and nothing else however they are asked."""

from __future__ import annotations

import gzip
import json
import os
import socket
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evolvent.events.clock import SystemClock
from evolvent.events.errors import ConfigInvalid, EvolventError
from evolvent.events.language.conversation import ToolCall
from evolvent.events.messages.runs import ToolOutcome, ToolRecord
from evolvent.orchestrator.tools import ToolContext, ToolRegistry
from evolvent.orchestrator.tools.call import call_tool
from evolvent.orchestrator.tools.file_tools import read_file
from evolvent.orchestrator.tools.folders import candidates, usable_folders
from evolvent.orchestrator.tools.log_search import search_logs
from evolvent.orchestrator.tools.registry import ToolSettings

SECRET = "canary-7f3a9"
NOON = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An allowed folder beside a secret one, with all that must not be read in it."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    (root / "sub" / "deeper").mkdir(parents=True)
    (root / ".hidden").mkdir()
    outside.mkdir()
    (outside / "secret.txt").write_text(SECRET)
    (root / "a.txt").write_text("hello")
    (root / "sub" / "b.txt").write_text("there")
    for name in (".env", ".hidden/x.txt"):
        (root / name).write_text(SECRET)
    (root / "link.txt").symlink_to(outside / "secret.txt")
    (root / "folder_link").symlink_to(outside)
    (root / "inner_link.txt").symlink_to(root / "a.txt")
    os.mkfifo(root / "pipe")
    (root / "binary").write_bytes(b"\x7fELF\0\0")
    return root


def context(*folders: Path) -> ToolContext:
    return ToolContext("r", "t", "c", folders=usable_folders(folders), started_at=NOON)


async def run(root: Path | tuple[Path, ...], name: str, /, **arguments: Any) -> ToolRecord:
    folders = root if isinstance(root, tuple) else (root,)
    registry = ToolRegistry(ToolSettings(allowed_folders=folders))
    registry.load_builtin()
    call = ToolCall(call_id="c", name=name, arguments=arguments)
    return await call_tool(registry, call, ToolContext("r", "t", "c"), offered=frozenset({name}), clock=SystemClock())


async def test_reads_a_file_by_relative_and_by_absolute_path(root: Path) -> None:
    for path in ("sub/b.txt", "./sub//b.txt", str(root / "sub" / "b.txt")):
        record = await run(root, "read_file", path=path)
        assert record.result == {
            "path": "sub/b.txt",
            "size_bytes": 5,
            "offset": 0,
            "text": "there",
            "next_offset": None,
        }


REFUSED = [
    "../x",
    "../outside/secret.txt",
    "a/../../x",
    "sub/../../outside/secret.txt",
    "sub/../a.txt",
    "/etc/passwd",
    "/proc/self/environ",
    "/dev/zero",
    "/",
    "~/.ssh/id_rsa",
    "",
    ".",
    "..",
    "link.txt",
    "inner_link.txt",
    "folder_link/secret.txt",
    "a.txt\0.png",
    "\0",
    "%2e%2e/outside/secret.txt",
    "sub/%2e%2e/%2e%2e/outside/secret.txt",
    "..%2foutside%2fsecret.txt",
    "..\\outside\\secret.txt",
    "..\\x",
    "pipe",
    ".env",
    "%2eenv",
    ".hidden/x.txt",
    "sub",
    "a.txt/x",
    "binary",
    "missing.txt",
    "a.txt\n",
    "\u202ea.txt",
    "x" * 300,
    "/".join(["sub"] * 100),
    "file:///etc/passwd",
    "\uff0e\uff0e/outside/secret.txt",
]


@pytest.mark.parametrize("path", REFUSED)
async def test_whatever_leads_out_or_is_no_plain_file_is_refused(root: Path, path: str) -> None:
    for asked in (path, f"{root}/{path}"):
        if asked == f"{root}//etc/passwd":
            continue
        for tool, arguments in (("read_file", {"path": asked}), ("list_files", {"folder": asked})):
            record = await run(root, tool, **arguments)
            said = record.model_dump_json()
            assert SECRET not in said
            assert "root:" not in said
            if tool == "read_file":
                assert record.outcome is ToolOutcome.ERROR, said
                code = record.error.code if record.error else ""
                assert code in {"file.refused", "file.not_found", "tool.bad_arguments"}


async def test_a_path_to_outside_through_a_folder_link_lists_nothing(root: Path) -> None:
    for folder in ("folder_link", "../outside", "/etc", ".hidden", "a.txt", "nowhere"):
        assert (await run(root, "list_files", folder=folder)).outcome is ToolOutcome.ERROR


async def test_devices_and_sockets_are_refused(root: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(root / "socket"))
        assert (await run(root, "read_file", path="socket")).outcome is ToolOutcome.ERROR
    if os.geteuid() == 0:
        try:
            os.mknod(root / "zero", 0o20666, os.makedev(1, 5))
        except PermissionError:
            return
        assert (await run(root, "read_file", path="zero")).outcome is ToolOutcome.ERROR


# A process of its own, for threads of one interpreter take turns just where the race would be.
SWAP = """
import ctypes, sys
swap = ctypes.CDLL(None, use_errno=True).renameat2
one, other = (name.encode() for name in sys.argv[1:])
assert swap(-100, one, -100, other, 2) == 0, ctypes.get_errno()
print("swapping", flush=True)
while swap(-100, one, -100, other, 2) == 0:
    pass
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs an atomic exchange of names")
@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_link_swapped_in_between_check_and_open_never_leads_out_in_1000_tries(root: Path, what: str) -> None:
    ctx, victim, trap, outside = context(root), root / "swapped", root.parent / "trap", root.parent / "outside"
    if what == "file":
        victim.write_text("harmless")
        trap.symlink_to(outside / "secret.txt")
    else:
        victim.mkdir()
        (victim / "secret.txt").write_text("harmless")
        trap.symlink_to(outside)
    ends: Counter[str] = Counter()
    with subprocess.Popen([sys.executable, "-c", SWAP, victim, trap], stdout=subprocess.PIPE) as swapper:
        try:
            assert swapper.stdout is not None and swapper.stdout.readline() == b"swapping\n"
            while ends.total() < 1_000 or (len(ends) < 2 and ends.total() < 50_000):
                try:
                    ends[read_file("swapped" if what == "file" else "swapped/secret.txt", ctx=ctx)["text"]] += 1
                except EvolventError as error:
                    ends[error.code] += 1
        finally:
            swapper.kill()
    assert set(ends) == {"harmless", "file.refused"}, ends


@settings(max_examples=300, deadline=None)
@given(
    path=st.text(st.sampled_from("ab./\\%2eEfF~\0 \n‥"), max_size=12)
    | st.lists(st.sampled_from(["..", ".", "a", "%2e%2e", "", "..%2f", ".git"]), max_size=5).map("/".join)
)
def test_no_path_has_a_part_that_climbs_or_hides(path: str) -> None:
    try:
        places = candidates((Path("/srv/data"),), path)
    except EvolventError:
        return
    for place, parts in places:
        assert place == Path("/srv/data")
        assert not any(part.startswith(".") or "/" in part or "\\" in part or "\0" in part for part in parts)
        assert (place / Path(*parts)).is_relative_to(place)


async def test_a_long_file_is_read_in_pieces_that_cut_no_character(root: Path) -> None:
    text = "aé€😀\n" * 3_000
    (root / "long.txt").write_text(text)
    for step in (7, 10, 4_096):
        pieces: list[str] = []
        offset = 0
        while offset is not None and len(pieces) < 40:
            result = (await run(root, "read_file", path="long.txt", max_bytes=step, offset=offset)).result
            assert len(result["text"].encode()) <= step
            pieces.append(result["text"])
            offset = result["next_offset"]
        assert text.startswith("".join(pieces))
        assert "\ufffd" not in "".join(pieces)
        assert offset is None or step < 4_096
    record = await run(root, "read_file", path="long.txt", max_bytes=10**9)
    assert record.error is not None and record.error.code == "tool.bad_arguments"


async def test_broken_unicode_and_tiny_steps_always_get_on(root: Path) -> None:
    (root / "broken.txt").write_bytes(b"ok\xff\xfe\xf0\x9f end\xf0")
    offset, steps = 0, 0
    while offset is not None:
        result = (await run(root, "read_file", path="broken.txt", max_bytes=4, offset=offset)).result
        assert result["next_offset"] is None or result["next_offset"] > offset
        offset, steps = result["next_offset"], steps + 1
    assert steps < 10


async def test_lists_plain_files_without_links_and_hidden_ones(root: Path) -> None:
    result = (await run(root, "list_files")).result
    assert [one["path"] for one in result["files"]] == ["a.txt", "binary", "sub/b.txt"]
    assert result["complete"]
    assert [one["path"] for one in (await run(root, "list_files", pattern="*.txt")).result["files"]] == [
        "a.txt",
        "sub/b.txt",
    ]
    assert [one["path"] for one in (await run(root, "list_files", folder="sub")).result["files"]] == ["sub/b.txt"]
    assert [one["path"] for one in (await run(root, "list_files", pattern="sub/*")).result["files"]] == ["sub/b.txt"]


async def test_a_long_listing_is_bounded_and_says_so(root: Path) -> None:
    for index in range(600):
        (root / "sub" / f"{index}.log").touch()
    result = (await run(root, "list_files", pattern="*.log")).result
    assert (len(result["files"]), result["total"], result["complete"]) == (500, 600, False)


async def test_with_several_folders_files_go_by_their_absolute_path(root: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "a.txt").write_text("other")
    (other / "c.txt").write_text("only here")
    listed = [one["path"] for one in (await run((root, other), "list_files", pattern="*.txt")).result["files"]]
    assert listed == [str(root / "a.txt"), str(root / "sub/b.txt"), str(other / "a.txt"), str(other / "c.txt")]
    texts = [(await run((root, other), "read_file", path=path)).result["text"] for path in (*listed, "c.txt")]
    assert texts == ["hello", "there", "other", "only here", "only here"]


def test_folders_that_are_none_or_the_machine_itself_are_refused(tmp_path: Path) -> None:
    for folder in (tmp_path / "nowhere", Path("/"), Path("/proc"), Path("/proc/self"), Path("/sys"), Path("/dev")):
        with pytest.raises(ConfigInvalid, match="allowed_folders"):
            ToolRegistry(ToolSettings(allowed_folders=(folder,)))


def test_without_folders_nothing_is_read() -> None:
    with pytest.raises(EvolventError, match="allowed_folders"):
        read_file("a.txt", ctx=ToolContext("r", "t", "c"))


# -- search_logs ----------------------------------------------------------------------------------------------------


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    logs = tmp_path / "logs"
    (logs / "app").mkdir(parents=True)
    lines = [
        "2026-01-02T09:00:00Z INFO start",
        "2026-01-02T10:30:00Z ERROR payment failed id=17",
        "  Traceback: at pay.py",
        "2026-01-02 11:45:00,123 error payment failed id=18",
        "2026-01-02T13:50:00+02:00 WARN slow",
    ]
    (logs / "app" / "app.log").write_text("\n".join(lines) + "\n")
    with gzip.open(logs / "app" / "old.log.gz", "wt") as packed:
        packed.write('127.0.0.1 - - [02/Jan/2026:11:30:00 +0000] "GET /payment" 500\n')
        packed.write("2026-01-01T00:00:00Z ERROR payment of yesterday\n")
    (logs / "core").write_bytes(b"payment\0payment\n")
    (logs / "broken.gz").write_bytes(b"\x1f\x8b\x08\0not really")
    for age, name in enumerate(("app/app.log", "app/old.log.gz", "core", "broken.gz")):
        os.utime(logs / name, times=(NOON.timestamp() - age, NOON.timestamp() - age))
    return logs


def hits(result: dict[str, Any]) -> list[tuple[str, int]]:
    return [(hit["file"], hit["line"]) for hit in result["matches"]]


def test_finds_lines_newest_file_first_in_packed_files_too(logs: Path) -> None:
    result = search_logs("PAYMENT", ctx=context(logs))
    assert hits(result) == [("app/app.log", 2), ("app/app.log", 4), ("app/old.log.gz", 1), ("app/old.log.gz", 2)]
    assert result["matches"][0]["text"] == "2026-01-02T10:30:00Z ERROR payment failed id=17"
    assert result["skipped"] == [{"file": "core", "reason": "not text"}, {"file": "broken.gz", "reason": "damaged"}]
    assert (result["total"], result["files_searched"], result["complete"]) == (4, 2, True)


def test_counts_all_lines_and_returns_no_more_than_asked(logs: Path) -> None:
    result = search_logs("payment", limit=1, folder="app", ctx=context(logs))
    assert (len(result["matches"]), result["total"]) == (1, 4)


@pytest.mark.parametrize(
    ("since", "found"),
    [
        ("-1h", [("app/app.log", 4), ("app/old.log.gz", 1)]),
        ("-90m", [("app/app.log", 2), ("app/app.log", 4), ("app/old.log.gz", 1)]),
        ("2026-01-02T11:40:00", [("app/app.log", 4)]),
        ("2026-01-02T13:40:00+02:00", [("app/app.log", 4)]),
        ("2026-01-03", []),
    ],
)
def test_since_keeps_what_is_recent(logs: Path, since: str, found: list[tuple[str, int]]) -> None:
    assert hits(search_logs("payment", since=since, ctx=context(logs))) == found


def test_lines_without_a_time_belong_to_the_line_before(logs: Path) -> None:
    assert hits(search_logs("traceback", since="-2h", ctx=context(logs))) == [("app/app.log", 3)]
    assert hits(search_logs("traceback", since="-1h", ctx=context(logs))) == []


def test_regular_expressions_match_and_bad_ones_are_explained(logs: Path) -> None:
    result = search_logs(r"(?i)error .*id=1[78]$", regex=True, ctx=context(logs))
    assert hits(result) == [("app/app.log", 2), ("app/app.log", 4)]
    for query in ("(", r"(a)\1", "(?=a)", r"(\w{1000}){1000}"):
        with pytest.raises(EvolventError, match="regular expression"):
            search_logs(query, regex=True, ctx=context(logs))
    for since in ("yesterday", "-1y", "-999999w"):
        with pytest.raises(EvolventError, match="since"):
            search_logs("a", since=since, ctx=context(logs))


@pytest.mark.parametrize("query", [r"(a+)+$", r"(a|aa)+$", r"(.*)*x", r"(a?){50}a{50}$", r"(\w+\s?)+!"])
def test_patterns_that_hang_other_engines_cost_next_to_nothing(logs: Path, query: str) -> None:
    (logs / "evil.log").write_text(("a" * 15_000 + "b\n") * 50)
    result = search_logs(query, regex=True, ctx=context(logs))
    assert result["complete"]


def test_a_huge_line_and_a_file_of_nothing_but_matches_stay_bounded(logs: Path) -> None:
    (logs / "huge.log").write_text("x" * 3_000_000 + " needle\n" + "needle\n" * 50_000)
    result = search_logs("needle", limit=200, ctx=context(logs))
    assert (len(result["matches"]), result["total"]) == (200, 50_001)
    assert result["matches"][0]["line"] == 1
    assert len(json.dumps(result)) < 200_000


def test_a_gzip_bomb_is_left_at_the_size_limit(logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evolvent.orchestrator.tools.log_search.MOST_FILE_BYTES", 1_000_000)
    with gzip.open(logs / "bomb.gz", "wb") as packed:
        for _ in range(40):
            packed.write(b"bomb " * 20_000 + b"\n")
    result = search_logs("bomb", ctx=context(logs))
    assert not result["complete"]
    assert 0 < result["total"] < 100


def test_a_search_out_of_time_says_that_it_is_not_complete(logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evolvent.orchestrator.tools.log_search.MOST_SECONDS", -1.0)
    result = search_logs("payment", ctx=context(logs))
    assert (result["matches"], result["complete"]) == ([], False)


def test_logs_outside_behind_links_are_not_searched(root: Path) -> None:
    assert search_logs(SECRET, ctx=context(root))["total"] == 0


async def test_the_time_of_the_call_is_what_since_counts_from(logs: Path) -> None:
    now = datetime.now(UTC)
    (logs / "now.log").write_text(f"{(now - timedelta(minutes=5)).isoformat()} fresh\n")
    record = await run(logs, "search_logs", query="fresh", since="-10m")
    assert record.result["total"] == 1
    assert (await run(logs, "search_logs", query="fresh", since="-4m")).result["total"] == 0
