"""The calendar's tools after a change: who moves a meeting may say why."""

from __future__ import annotations

from support.learning_bed.calendar import tools
from support.learning_bed.calendar.tools import (
    add_guests,
    book_meeting,
    call_off_meeting,
    find_person,
    find_room,
    get_room,
    list_meetings,
    mail_everybody,
)
from support.learning_bed.database import Record

from evolvent.orchestrator.tools import ToolContext, tool

__all__ = [
    "add_guests",
    "book_meeting",
    "call_off_meeting",
    "find_person",
    "find_room",
    "get_room",
    "list_meetings",
    "mail_everybody",
    "move_meeting",
]


@tool(effect="keyed")
async def move_meeting(meeting_id: str, day: str, start: str, end: str, why: str = "", *, ctx: ToolContext) -> Record:
    """Move a meeting to another day or time, and say why."""
    del why
    return await tools.move_meeting(meeting_id, day, start, end, ctx=ctx)
