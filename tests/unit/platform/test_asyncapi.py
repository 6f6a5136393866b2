from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from evolvent.events.messages.platform import PLATFORM_EVENTS
from evolvent.platform.asyncapi import document


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(ref := value.get("$ref"), str):
            yield ref
        for item in value.values():
            yield from _references(item)
    elif isinstance(value, list):
        for item in value:
            yield from _references(item)


def test_every_reference_in_the_document_leads_somewhere() -> None:
    whole = document()
    references = set(_references(whole))
    assert len(references) > 50
    for reference in references:
        place: Any = whole
        for part in reference.removeprefix("#/").split("/"):
            assert part in place, reference
            place = place[part]


def test_the_document_has_what_asyncapi_3_asks_for() -> None:
    whole = document()
    assert whole["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= whole["info"].keys()
    for name, operation in whole["operations"].items():
        assert operation["action"] in ("send", "receive"), name
        assert operation["channel"]["$ref"].startswith("#/channels/")
        for message in operation["messages"]:
            assert message["$ref"].startswith(operation["channel"]["$ref"] + "/messages/")
    for name, channel in whole["channels"].items():
        named = {part[1:-1] for part in (channel["address"] or "").split(".") if part.startswith("{")}
        assert named == set(channel.get("parameters", {})), name


def test_every_platform_event_and_the_request_are_in_it() -> None:
    addresses = {channel["address"] for channel in document()["channels"].values()}
    assert {f"evolvent.events.{event.TYPE}" for event in PLATFORM_EVENTS} <= addresses
    assert "evolvent.requests.{priority}.{goal}" in addresses
    assert "evolvent.runs.{run_id}.workflow_completed" in addresses
