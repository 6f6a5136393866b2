"""The calendar's tools."""

from __future__ import annotations

import re
from datetime import date
from typing import Any

from support.learning_bed.calendar.world import NAME
from support.learning_bed.database import Database, Record, Refused, database_of

from evolvent.orchestrator.tools import ToolContext, tool

_CLOCK = re.compile(r"([01]\d|2[0-3]):[0-5]\d")


@tool(effect="read")
async def find_person(email: str, *, ctx: ToolContext) -> Record:
    """Find a colleague by e-mail address."""
    return database_of(ctx, NAME).get("people", email, "nobody has that address")


@tool(effect="read")
async def find_room(name: str, *, ctx: ToolContext) -> Record:
    """Find a room by its name."""
    rooms = database_of(ctx, NAME).where("rooms", name=name)
    if not rooms:
        raise Refused("there is no such room")
    return rooms[0]


@tool(effect="read")
async def get_room(room_id: str, *, ctx: ToolContext) -> Record:
    """Get a room by its id."""
    return database_of(ctx, NAME).get("rooms", room_id, "there is no such room")


@tool(effect="read")
async def list_meetings(owner: str, *, ctx: ToolContext) -> list[Record]:
    """List the meetings that somebody called, by the owner's e-mail address."""
    return database_of(ctx, NAME).where("meetings", owner=owner)


@tool(effect="keyed")
async def book_meeting(
    owner: str, room_id: str, day: str, start: str, end: str, title: str, *, ctx: ToolContext
) -> Record:
    """Book a room for a meeting. Days are written as 2026-03-09 and times as 15:30."""
    database = database_of(ctx, NAME)

    def write() -> Record:
        database.get("people", owner, "nobody has that address")
        database.get("rooms", room_id, "there is no such room")
        _require_span(day, start, end)
        meeting: Record = {
            "id": f"mtg-{room_id}-{day}-{start}",
            "owner": owner,
            "title": title,
            "day": day,
            "start": start,
        }
        meeting |= {"end": end, "room_id": room_id, "guests": [], "state": "planned"}
        return database.put("meetings", str(meeting["id"]), meeting)

    return _once(database, ctx, write)


@tool(effect="keyed")
async def move_meeting(meeting_id: str, day: str, start: str, end: str, *, ctx: ToolContext) -> Record:
    """Move a meeting to another day or time."""
    database = database_of(ctx, NAME)

    def write() -> Record:
        _require_span(day, start, end)
        meeting = _planned(database, meeting_id)
        meeting.update(day=day, start=start, end=end)
        return meeting

    return _once(database, ctx, write)


@tool(effect="keyed")
async def call_off_meeting(meeting_id: str, *, ctx: ToolContext, tell_guests: bool = True) -> Record:
    """Call a meeting off."""
    database = database_of(ctx, NAME)

    def write() -> Record:
        meeting = _planned(database, meeting_id)
        meeting.update(state="called off", guests_told=tell_guests)
        return meeting

    return _once(database, ctx, write)


@tool(effect="idempotent")
async def add_guests(meeting_id: str, emails: list[str], *, ctx: ToolContext) -> Record:
    """Invite people to a meeting."""
    database = database_of(ctx, NAME)

    def write() -> Record:
        for email in emails:
            database.get("people", email, f"nobody has the address {email}")
        meeting = _planned(database, meeting_id)
        meeting["guests"] = [*meeting["guests"], *(email for email in emails if email not in meeting["guests"])]
        return meeting

    return _once(database, ctx, write)


@tool(effect="irreversible")
async def mail_everybody(subject: str, text: str, *, ctx: ToolContext) -> str:
    """Send a mail to the whole company."""
    return str(database_of(ctx, NAME).once(ctx.idempotency_key, lambda: f"sent: {subject} ({len(text)} characters)"))


def _planned(database: Database, meeting_id: str) -> Record:
    meeting = database.get("meetings", meeting_id, "there is no such meeting")
    if meeting["state"] != "planned":
        raise Refused(f"the meeting is {meeting['state']}")
    return database.edit("meetings", meeting_id)


def _require_span(day: str, start: str, end: str) -> None:
    try:
        date.fromisoformat(day)
    except ValueError:
        raise Refused("a day is written as 2026-03-09") from None
    if not _CLOCK.fullmatch(start) or not _CLOCK.fullmatch(end) or start >= end:
        raise Refused("times are written as 15:30, and the end is after the start")


def _once(database: Database, ctx: ToolContext, write: Any) -> Record:
    result: Record = database.once(ctx.idempotency_key, write)
    return result
