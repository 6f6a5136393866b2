"""Requests of colleagues: book, move, call off, invite, and two questions."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import date
from typing import Any

from support.learning_bed import wording
from support.learning_bed.agent import ScriptedAgent
from support.learning_bed.calendar import tools, world
from support.learning_bed.database import Base, Record
from support.learning_bed.grammar import Drawn, Grammar, Intent, Values, ask
from support.learning_bed.world import World

SYSTEM_PROMPT = (
    "You keep the calendar of a company. Find whoever writes by e-mail address. Touch only meetings that this person "
    "called and that are planned. Write days as 2026-03-09 and times as 15:30. Tell guests when a meeting is called "
    "off. Invite only people who have an address here."
)
_TITLES = ("Supplier call", "Press check", "Lab tour", "Board prep", "Interview", "Book club", "Retro", "Demo")


def the_world(seed: int = 0, drift: str | None = None) -> World:
    """The calendar."""
    return World.of(world.NAME, world.base(seed, drift), tools, SYSTEM_PROMPT)


def _identify(asker: Values) -> Any:
    return (yield from ask("find_person", email=asker["id"]))


def _meeting(values: Values, found: Values) -> Any:
    meetings = (yield from ask("list_meetings", owner=found["email"])) or []
    return next((m for m in meetings if m["title"] == values["title"] and m["state"] == "planned"), None)


def _book(values: Values, found: Values) -> Any:
    room = yield from ask("find_room", name=values["room"])
    if room is None:
        return f"There is no room {values['room']}."
    yield from ask(
        "book_meeting",
        owner=found["email"],
        room_id=room["id"],
        day=values["day"],
        start=values["start"],
        end=values["end"],
        title=values["title"],
    )
    return f"{values['room']} is yours on {values['day']} from {values['start']} to {values['end']}."


def _move(values: Values, found: Values) -> Any:
    meeting = yield from _meeting(values, found)
    if meeting is None:
        return f"You have called no {values['title']} that I could move."
    span = {"day": values["day"], "start": values["start"], "end": values["end"]}
    yield from ask("move_meeting", meeting_id=meeting["id"], **span)
    return f"{values['title']} is on {values['day']} at {values['start']} now."


def _call_off(values: Values, found: Values) -> Any:
    meeting = yield from _meeting(values, found)
    if meeting is None:
        return f"You have called no {values['title']} that I could call off."
    yield from ask("call_off_meeting", meeting_id=meeting["id"], tell_guests=True)
    return f"{values['title']} is called off."


def _invite(values: Values, found: Values) -> Any:
    meeting = yield from _meeting(values, found)
    if meeting is None:
        return f"You have called no {values['title']} that I could invite to."
    done = yield from ask("add_guests", meeting_id=meeting["id"], emails=list(values["guests"]))
    return f"{len(values['guests'])} guests are invited to {values['title']}." if done else "Some address is unknown."


def _where(values: Values, found: Values) -> Any:
    meetings = (yield from ask("list_meetings", owner=found["email"])) or []
    meeting = next((each for each in meetings if each["title"] == values["title"]), None)
    if meeting is None:
        return f"You have called no {values['title']}."
    room = yield from ask("get_room", room_id=meeting["room_id"])
    return f"{meeting['title']} is in {room['name']} on floor {room['floor']}." if room else "I do not find its room."


def _when(values: Values, found: Values) -> Any:
    meetings = (yield from ask("list_meetings", owner=found["email"])) or []
    meeting = next((each for each in meetings if each["title"] == values["title"]), None)
    if meeting is None:
        return f"You have called no {values['title']}."
    return f"{meeting['title']} is on {meeting['day']} from {meeting['start']} to {meeting['end']}."


def _own(draw: random.Random, base: Base, asker: Values) -> Record:
    return base.tables["meetings"][draw.choice(base.keys_where("meetings", {"owner": asker["id"]}))]


def _span(draw: random.Random, *, step: int = 0) -> tuple[dict[str, str], dict[str, str]]:
    """A day with a start and an end: as values, and as texts."""
    at = draw.randrange(len(world.TIMES) - 4)
    start, end = world.TIMES[at], world.TIMES[at + (step or draw.randint(1, 4))]
    on: date = wording.later(draw)
    values = {"day": on.isoformat(), "start": start, "end": end}
    texts = {"day": wording.day(on, draw), "start": wording.clock(start, draw), "end": wording.clock(end, draw)}
    return values, texts


def _draw_book(draw: random.Random, base: Base, asker: Values) -> Drawn:
    del asker
    values, texts = _span(draw)
    room = draw.choice(list(base.tables["rooms"].values()))
    return Drawn({**values, "room": room["name"], "title": f"{draw.choice(_TITLES)} {draw.randint(1, 99)}"}, texts)


def _draw_book_for(draw: random.Random, base: Base, asker: Values) -> Drawn:
    del asker
    step = draw.randint(1, 4)
    values, texts = _span(draw, step=step)
    room = draw.choice(list(base.tables["rooms"].values()))
    title = f"{draw.choice(_TITLES)} {draw.randint(1, 99)}"
    texts["duration"] = wording.duration(30 * step, draw)
    return Drawn({**values, "room": room["name"], "title": title}, texts)


def _draw_move(draw: random.Random, base: Base, asker: Values) -> Drawn:
    values, texts = _span(draw)
    return Drawn({**values, "title": _own(draw, base, asker)["title"]}, texts)


def _draw_meeting(draw: random.Random, base: Base, asker: Values) -> Drawn:
    return Drawn({"title": _own(draw, base, asker)["title"]})


def _draw_invite(draw: random.Random, base: Base, asker: Values) -> Drawn:
    others = [email for email in base.tables["people"] if email != asker["id"]]
    guests = tuple(draw.sample(others, draw.randint(1, 4)))
    values = {"title": _own(draw, base, asker)["title"], "guests": guests}
    return Drawn(values, {"guests": wording.listed(guests), "guest": guests[-1]})


def _askers(base: Base) -> Sequence[Values]:
    return [{"id": email, **person} for email, person in base.tables["people"].items()]


INTENTS = (
    Intent(
        "book",
        (
            "Book {room} on {day} from {start} to {end} for '{title}'.",
            "I need the room {room} for '{title}' on {day}, {start} to {end}.",
        ),
        _draw_book,
        _book,
        "room",
    ),
    Intent(
        "book_for",
        ("Reserve {room} on {day} at {start} for {duration}: '{title}'.",),
        _draw_book_for,
        _book,
        "room",
        is_learnable=False,
    ),
    Intent(
        "move",
        (
            "Move '{title}' to {day}, {start} to {end}.",
            "Let '{title}' take place on {day} between {start} and {end}.",
        ),
        _draw_move,
        _move,
        "title",
    ),
    Intent(
        "call_off",
        ("Call off '{title}'.", "'{title}' will not take place, tell the guests.", "Please drop '{title}' for good."),
        _draw_meeting,
        _call_off,
        "title",
    ),
    Intent(
        "invite",
        ("Invite {guests} to '{title}'.", "Add to '{title}' as guests: {guests}."),
        _draw_invite,
        _invite,
        "title",
        "guest",
    ),
    Intent(
        "where",
        ("Where is '{title}'?", "Which room is '{title}' in?"),
        _draw_meeting,
        _where,
        "title",
        is_question=True,
    ),
    Intent(
        "when",
        ("When is '{title}'?", "On which day and at what time is '{title}'?"),
        _draw_meeting,
        _when,
        "title",
        is_question=True,
    ),
)
GRAMMAR = Grammar(
    intents=INTENTS,
    askers=_askers,
    openings=("{name} writing, {id}.", "From {id}:", "Hi, this is {name} <{id}>."),
    closings=("", "", "See you!", "Cheers."),
    identify=_identify,
    share_of_several=0.2,
)


def careful_agent() -> ScriptedAgent:
    """The agent that follows the policy."""
    return ScriptedAgent(GRAMMAR.script)
