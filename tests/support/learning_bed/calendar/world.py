"""The calendar's records: people, rooms, and meetings in them."""

from __future__ import annotations

import random

from support.learning_bed import wording
from support.learning_bed.database import Base, Record

NAME = "calendar"
DRIFTS = ("meetings_locked", "rooms_renumbered")
_ROOMS = (
    "Aspen Birch Cedar Dogwood Elm Fir Ginkgo Hazel Ivy Juniper Katsura Larch Maple Nutmeg Oak Pine Quince Rowan "
    "Spruce Tamarack Ulmus Viburnum Willow Yew"
)
_ABOUT = ("Budget", "Hiring", "Roadmap", "Launch", "Security", "Design", "Vendor", "Quarter", "Onboarding", "Metrics")
_FORMS = ("review", "sync", "workshop", "planning", "retrospective", "briefing")
TIMES = tuple(f"{hour:02d}:{minute:02d}" for hour in range(8, 18) for minute in (0, 30))


def base(seed: int = 0, drift: str | None = None) -> Base:
    """The records for a seed, or those after a drift.

    meetings_locked: a third of the meetings may not be touched any more.
    rooms_renumbered: every room has another id.
    """
    draw = random.Random(f"{NAME}:{seed}")
    rooms: dict[str, Record] = {}
    for at, name in enumerate(_ROOMS.split(" ")):
        number = at if drift != "rooms_renumbered" else 900 - at
        room_id = f"room-{number:03d}"
        rooms[room_id] = {"id": room_id, "name": name, "floor": draw.randint(1, 9), "seats": draw.choice((4, 8, 20))}
    people: dict[str, Record] = {}
    for name in wording.names(draw, 60):
        email = f"{name.lower().replace(' ', '.')}@corp.example"
        people[email] = {"email": email, "name": name, "desk": f"{draw.randint(1, 9)}-{draw.randint(100, 999)}"}
    room_ids = list(rooms)
    meetings: dict[str, Record] = {}
    for email in people:
        titles = draw.sample([f"{about} {form}" for about in _ABOUT for form in _FORMS], 12)
        for title in titles:
            meeting = _meeting(draw, email, title, room_ids, len(meetings))
            meetings[meeting["id"]] = meeting
    if drift == "meetings_locked":
        for meeting in list(meetings.values())[::3]:
            meeting["state"] = "locked"
    if drift not in (None, *DRIFTS):
        raise ValueError(f"calendar knows no drift {drift!r}; there are {', '.join(DRIFTS)}")
    return Base({"people": people, "rooms": rooms, "meetings": meetings}, drift=drift)


def _meeting(draw: random.Random, owner: str, title: str, room_ids: list[str], number: int) -> Record:
    start = draw.randrange(len(TIMES) - 4)
    return {
        "id": f"mtg-{number:04d}{draw.randrange(100):02d}",
        "owner": owner,
        "title": title,
        "day": wording.later(draw, days=20).isoformat(),
        "start": TIMES[start],
        "end": TIMES[start + draw.randint(1, 3)],
        "room_id": draw.choice(room_ids),
        "guests": [],
        "state": "planned",
    }
