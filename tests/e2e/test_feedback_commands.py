"""`evolvent improve`, `feedback`, `versions`, `improvements` and `unlearn` against a real `evolvent up`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from support.commands import ok as worked
from support.commands import rows, said
from support.processes import Platform, platform_up, scripted_model

pytestmark = [pytest.mark.long, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def platform(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Platform]:
    folder: Path = tmp_path_factory.mktemp("feedback")
    script = folder / "script.json"
    script.write_text(json.dumps({"default": {"text": '{"system_prompt": "Help. Be brief.", "why": "Shorter."}'}}))
    async with scripted_model(folder, script) as url, platform_up(folder, url) as running:
        yield running


async def ok(platform: Platform, *arguments: str) -> list[dict[str, Any]]:
    return rows(await worked(platform, *arguments, "--json"))


async def test_feedback_becomes_a_better_prompt_that_a_person_applies_and_takes_back(platform: Platform) -> None:
    code, out, err = await said(platform, "improve")
    assert code == 0, err
    assert "no run" in out or "Stored" in err
    await ok(platform, "ask", "Tell me about orders")
    async with asyncio.timeout(30):
        while True:
            (came,) = await ok(platform, "improve", "Be brief", "--rating", "2")
            if came["run_id"] != "_":
                break
    assert (came["status"], came["is_dispute"]) == ("proposing", True)
    async with asyncio.timeout(60):
        while came["status"] == "proposing":
            await ok(platform, "jobs", "run", "improve")
            (came,) = await ok(platform, "feedback", "show", came["feedback_id"])
    assert came["status"] == "proposed", came
    (proposal,) = await ok(platform, "improvements", "list")
    name = f"{proposal['item_id']}@{proposal['version']}"
    assert came["target"] == f"agent:{name}"
    code, out, err = await said(platform, "improvements", "show", name)
    assert "+system_prompt: Help. Be brief." in out
    (approved,) = await ok(platform, "improvements", "approve", name)
    assert (approved["version"]["status"], approved["version"]["in_use"]) == ("applied", True)
    assert [row["status"] for row in await ok(platform, "feedback", "list", "--status", "applied")] == ["applied"]
    (back,) = await ok(platform, "versions", "rollback", "agent", proposal["item_id"], "--to", "1")
    assert (back["version"]["in_use"], back["version"]["note"]) == (True, "rolled back to version 1")
    rows = await ok(platform, "versions", "list", "agent", proposal["item_id"])
    assert [row["version"] for row in rows] == [3, 2, 1]
    (same,) = await ok(platform, "versions", "diff", "agent", proposal["item_id"], "1", "3")
    assert same == {"diff": ""}
    code, _, err = await said(platform, "improvements", "decline", name)
    assert (code, "not proposed" in err) == (1, True)


async def test_what_a_client_asked_is_unlearnt_by_an_operator(platform: Platform) -> None:
    (found,) = await ok(platform, "unlearn", "principal:client")
    assert found["runs"] >= 1
    code, _, err = await said(platform, "unlearn", "user:nobody")
    assert (code, "No run is meant" in err) == (1, True)
