"""Requests of engineers: restart, scale, rotate, silence, and two questions."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from support.learning_bed import wording
from support.learning_bed.agent import ScriptedAgent
from support.learning_bed.database import Base, Record
from support.learning_bed.grammar import Drawn, Grammar, Intent, Values, ask
from support.learning_bed.ops import tools, world
from support.learning_bed.world import World

SYSTEM_PROMPT = (
    "You operate services for engineers. Look up who asks and the service that is meant. Change a service only if it "
    "belongs to the team of whoever asks. Restart standard services immediately and all others in a rolling way, "
    "after a look at the vendor's bulletin for the region. Silence an alert by its title. Do one thing at a time, "
    "and only what was asked."
)
REASONS = ("known issue", "load test running", "vendor works on it", "false positive", "migration under way")


def the_world(seed: int = 0, drift: str | None = None) -> World:
    """The operations world."""
    return World.of(world.NAME, world.base(seed, drift), tools, SYSTEM_PROMPT)


def _identify(asker: Values) -> Any:
    return (yield from ask("whois", handle=asker["id"]))


def _own_service(values: Values, found: Values) -> Any:
    service = yield from ask("find_service", name=values["service"], region=values["region"])
    return service if service and service["team"] == found["team"] else None


def _no(values: Values) -> str:
    return f"I may not change {values['service']} in {values['region']} for you."


def _restart(values: Values, found: Values) -> Any:
    service = yield from _own_service(values, found)
    if service is None:
        return _no(values)
    yield from ask("vendor_bulletin", region=values["region"])
    mode = "immediate" if service["tier"] == "standard" else "rolling"
    yield from ask("restart_service", service_id=service["id"], mode=mode)
    return f"{values['service']} in {values['region']} is restarting ({mode})."


def _scale(values: Values, found: Values) -> Any:
    service = yield from _own_service(values, found)
    if service is None:
        return _no(values)
    yield from ask("scale_service", service_id=service["id"], replicas=values["replicas"])
    return f"{values['service']} in {values['region']} now has {values['replicas']} replicas."


def _rotate(values: Values, found: Values) -> Any:
    service = yield from _own_service(values, found)
    if service is None:
        return _no(values)
    secret_id = service["secret"]["id"]
    yield from ask("rotate_secret", service_id=service["id"], secret_id=secret_id, ticket=values["ticket"])
    return f"The secret of {values['service']} in {values['region']} is rotated under {values['ticket']}."


def _silence(values: Values, found: Values) -> Any:
    service = yield from _own_service(values, found)
    if service is None:
        return _no(values)
    alerts = (yield from ask("list_alerts", service_id=service["id"])) or []
    alert = next((alert for alert in alerts if alert["title"] == values["title"]), None)
    if alert is None:
        return f"Nothing like {values['title']} fires on {values['service']}."
    yield from ask("silence_alert", alert_id=alert["id"], minutes=values["minutes"], comment=values["reason"])
    return f"{values['title']} on {values['service']} is silenced for {values['minutes']} minutes."


def _how_many(values: Values, found: Values) -> Any:
    del found
    service = yield from ask("find_service", name=values["service"], region=values["region"])
    if service is None:
        return f"There is no {values['service']} in {values['region']}."
    return f"{service['name']} in {service['region']} runs {service['replicas']} replicas."


def _whose(values: Values, found: Values) -> Any:
    del found
    service = yield from ask("find_service", name=values["service"], region=values["region"])
    if service is None:
        return f"There is no {values['service']} in {values['region']}."
    return f"{service['name']} in {service['region']} belongs to team {service['team']} and is {service['state']}."


def _own(draw: random.Random, base: Base, asker: Values) -> Record | None:
    keys = base.keys_where("services", {"team": asker["team"]})
    return base.tables["services"][draw.choice(keys)] if keys else None


def _named(service: Record, **more: Any) -> dict[str, Any]:
    return {"service": service["name"], "region": service["region"], **more}


def _draw_service(draw: random.Random, base: Base, asker: Values) -> Drawn | None:
    service = _own(draw, base, asker)
    return None if service is None else Drawn(_named(service))


def _draw_any(draw: random.Random, base: Base, asker: Values) -> Drawn:
    del asker
    return Drawn(_named(draw.choice(list(base.tables["services"].values()))))


def _draw_scale(draw: random.Random, base: Base, asker: Values) -> Drawn | None:
    service, replicas = _own(draw, base, asker), draw.randint(1, 40)
    if service is None or service["replicas"] == replicas:
        return None
    return Drawn(_named(service, replicas=replicas), {"replicas": wording.number(replicas, draw)})


def _draw_rotate(draw: random.Random, base: Base, asker: Values) -> Drawn | None:
    service = _own(draw, base, asker)
    return None if service is None else Drawn(_named(service, ticket=f"CHG-{draw.randint(10000, 99999)}"))


def _draw_silence(draw: random.Random, base: Base, asker: Values) -> Drawn | None:
    service = _own(draw, base, asker)
    if service is None:
        return None
    alerts = base.keys_where("alerts", {"service_id": service["id"]})
    title = base.tables["alerts"][draw.choice(alerts)]["title"]
    minutes = draw.choice((30, 45, 60, 90, 120, 180, 240, 480))
    values = _named(service, title=title, minutes=minutes, reason=draw.choice(REASONS))
    return Drawn(values, {"minutes": wording.duration(minutes, draw)})


def _askers(base: Base) -> Sequence[Values]:
    return [{"id": each["handle"], **each} for each in base.tables["engineers"].values()]


INTENTS = (
    Intent(
        "restart",
        (
            "Restart {service} in {region}.",
            "Please bounce {service} ({region}).",
            "{service} hangs in {region}, kick it.",
        ),
        _draw_service,
        _restart,
        "service",
    ),
    Intent(
        "scale",
        (
            "Scale {service} in {region} to {replicas} replicas.",
            "We need {replicas} instances of {service} in {region}.",
            "Set the replicas of {service} ({region}) to {replicas}.",
        ),
        _draw_scale,
        _scale,
        "service",
    ),
    Intent(
        "rotate",
        (
            "Rotate the secret of {service} in {region} under {ticket}.",
            "{ticket}: new credentials for {service} in {region}.",
        ),
        _draw_rotate,
        _rotate,
        "service",
    ),
    Intent(
        "silence",
        (
            "Silence '{title}' on {service} in {region} for {minutes}: {reason}.",
            "Mute the alert '{title}' of {service} ({region}) for {minutes}, {reason}.",
        ),
        _draw_silence,
        _silence,
        "service",
        "title",
    ),
    Intent(
        "how_many",
        ("How many replicas of {service} run in {region}?", "What is the replica count of {service} ({region})?"),
        _draw_any,
        _how_many,
        "service",
        is_question=True,
    ),
    Intent(
        "whose",
        ("Who owns {service} in {region}, and how is it?", "Owner and state of {service} ({region})?"),
        _draw_any,
        _whose,
        "service",
        is_question=True,
    ),
)
GRAMMAR = Grammar(
    intents=INTENTS,
    askers=_askers,
    openings=("{name} here, handle {handle}.", "This is {handle} ({name}).", "On call as {handle}, {name}:"),
    closings=("", "", "Thank you!", "It is urgent."),
    identify=_identify,
)


def careful_agent() -> ScriptedAgent:
    """The agent that follows the policy."""
    return ScriptedAgent(GRAMMAR.script)
