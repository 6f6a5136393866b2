"""Scripts: ordered rules that say what is answered to whom, as a YAML or JSON file.

    latency: {fixed_ms: 5, ms_per_token: 0}
    rules:
      - name: machine
        when:
          user: {regex: "how is (this|the) machine"}   # the last user message
          tools: [system_resources]                    # and these tools are offered
        turns:
          - tool_calls: [{name: system_resources, arguments: {}}]
          - text: "The CPU is at {{ tool.0.result.cpu_percent }} %."
        faults: [{kind: rate_limit, times: 2, retry_after: 1}]
    default:
      text: "No rule of this script fits."

The first rule whose conditions all hold answers. Conditions on a text (`user`, `first_user`, `system`, `model`):
a plain string or `{contains: …}` asks for a part of it, whatever the case; `{equals: …}` for the whole;
`{regex: …}` for a match, whose named groups are there as `{{ match.name }}`. `first_user_hash` is the SHA-256 of
the first user message (or its first digits); `tools` names tools that must be offered.

Turn k answers when k groups of tool results have come in since the last user message; `count_from: start` counts
from the start of the conversation. When the turns are used up, the last one that is a text stands.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from evolvent.platform.scripted_model.chat import Answer, Call, ChatRequest, ToolResult
from evolvent.platform.scripted_model.faults import Fault
from evolvent.platform.scripted_model.templates import fill, problems

_TEXT_CONDITIONS = ("user", "first_user", "system", "model")
_DEFAULT = {
    "text": "This answer is scripted: no rule of the script fits the message {{ user | truncate: 200 | json }}."
}
_NOTHING_LEFT = {"text": "This answer is scripted, and its script has nothing further to say."}


class ScriptError(ValueError):
    """The script cannot be used; the text names the place and what is wrong there."""


@dataclass(frozen=True)
class Latency:
    """How long an answer takes."""

    fixed_ms: float = 0.0
    ms_per_token: float = 0.0


@dataclass(frozen=True)
class Rule:
    """When a rule applies and what it says, turn by turn."""

    name: str
    patterns: tuple[tuple[str, re.Pattern[str]], ...]
    first_user_hash: str
    tools: frozenset[str]
    turns: tuple[Mapping[str, Any], ...]
    since_last_user: bool = True

    def match(self, request: ChatRequest) -> dict[str, str] | None:
        """Return the named groups found, or None where a condition fails."""
        if not request.first_user_hash.startswith(self.first_user_hash) or not self.tools <= set(request.tools):
            return None
        groups: dict[str, str] = {}
        for field, pattern in self.patterns:
            found = pattern.search(_text_condition(request, field))
            if found is None:
                return None
            groups |= {name: value for name, value in found.groupdict().items() if value is not None}
        return groups


class Script:
    """A checked script. It keeps no state: the same messages get the same answer.

    Args:
        document: The script as data.

    Raises:
        ScriptError: Something in it cannot be used.
    """

    def __init__(self, document: Mapping[str, Any] | None = None) -> None:
        document = document or {}
        _known(document, {"rules", "default", "latency", "name"}, "the script")
        try:
            self.latency = Latency(**document.get("latency", {}))
        except TypeError as error:
            raise ScriptError(f"latency takes fixed_ms and ms_per_token: {error}") from error
        rules = document.get("rules", [])
        self._rules = tuple(_rule(raw, f"rule {at}") for at, raw in enumerate(rules))
        self._default = _turn(document.get("default", _DEFAULT), "default")
        self.faults = tuple(
            _fault(fault, rule.name)
            for rule, raw in zip(self._rules, rules, strict=True)
            for fault in raw.get("faults", ())
        )

    @classmethod
    def load(cls, path: Path) -> Script:
        """Read a script file, YAML or JSON.

        Raises:
            ScriptError: The file is no such script.
        """
        try:
            document = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError) as error:
            raise ScriptError(f"Script {path} cannot be read: {error}") from error
        if not isinstance(document, dict):
            raise ScriptError(f"Script {path} must be a mapping with 'rules'.")
        return cls(document)

    @classmethod
    def demo(cls) -> Script:
        """Return the script that ships with Evolvent."""
        return cls.load(Path(__file__).with_name("demo.yaml"))

    def answer(self, request: ChatRequest) -> Answer:
        """Answer by the first rule that fits."""
        for rule in self._rules:
            groups = rule.match(request)
            if groups is not None:
                return _answer(rule, request, groups)
        return _filled(self._default, _values(request, {}, ()), rule="default", number=0)


def _answer(rule: Rule, request: ChatRequest, groups: dict[str, str]) -> Answer:
    results = request.tool_results(since_last_user=rule.since_last_user)
    turn = request.tool_rounds(since_last_user=rule.since_last_user)
    if turn < len(rule.turns):
        chosen = rule.turns[turn]
    else:
        chosen = rule.turns[-1] if "text" in rule.turns[-1] else _NOTHING_LEFT
    return _filled(chosen, _values(request, groups, results), rule=rule.name, number=turn)


def _filled(turn: Mapping[str, Any], values: Mapping[str, Any], *, rule: str, number: int) -> Answer:
    text = fill(turn.get("text"), values)
    calls = (fill(call, values) for call in turn.get("tool_calls", ()))
    return Answer(
        text=text if text is None or isinstance(text, str) else json.dumps(text, ensure_ascii=False),
        calls=tuple(
            Call(str(call["name"]), json.dumps(call.get("arguments", {}), ensure_ascii=False)) for call in calls
        ),
        rule=rule,
        turn=number,
    )


def _values(request: ChatRequest, groups: dict[str, str], results: Sequence[ToolResult]) -> dict[str, Any]:
    each = [{"name": r.name, "arguments": r.arguments, "text": r.text, "result": r.result} for r in results]
    tools: dict[str, Any] = {str(at): found for at, found in enumerate(each)}
    tools |= {found["name"]: found for found in each}
    if each:
        tools["last"] = each[-1]
    return {
        "user": request.last_user,
        "first_user": request.first_user,
        "system": request.system,
        "model": request.model,
        "match": groups,
        "tool": tools,
    }


def _text_condition(request: ChatRequest, field: str) -> str:
    match field:
        case "user":
            return request.last_user
        case "first_user":
            return request.first_user
        case "system":
            return request.system
        case _:
            return request.model


def _rule(raw: Any, place: str) -> Rule:
    if not isinstance(raw, dict) or not isinstance(raw.get("turns"), list) or not raw["turns"]:
        raise ScriptError(f"{place} must be a mapping with a list of 'turns'.")
    name = str(raw.get("name", place))
    _known(raw, {"name", "when", "turns", "faults", "count_from"}, name)
    when = raw.get("when", {})
    _known(when, {*_TEXT_CONDITIONS, "first_user_hash", "tools"}, f"{name}: when")
    counted = raw.get("count_from", "last_user")
    if counted not in ("last_user", "start"):
        raise ScriptError(f"{name}: count_from is 'last_user' or 'start', not {counted!r}.")
    return Rule(
        name=name,
        patterns=tuple((field, _pattern(when[field], name)) for field in _TEXT_CONDITIONS if field in when),
        first_user_hash=str(when.get("first_user_hash", "")),
        tools=frozenset(when.get("tools", ())),
        turns=tuple(_turn(turn, f"{name}: turn {at}") for at, turn in enumerate(raw["turns"])),
        since_last_user=counted == "last_user",
    )


def _pattern(condition: Any, place: str) -> re.Pattern[str]:
    condition = {"contains": condition} if isinstance(condition, str) else condition
    if not isinstance(condition, dict) or len(condition) != 1:
        raise ScriptError(f"{place}: a text condition is a string, or one of contains, equals, regex.")
    how, text = next(iter(condition.items()))
    try:
        match how:
            case "contains":
                return re.compile(re.escape(text), re.IGNORECASE)
            case "equals":
                return re.compile(rf"\A{re.escape(text)}\Z")
            case "regex":
                return re.compile(text, re.IGNORECASE)
    except (re.error, TypeError) as error:
        raise ScriptError(f"{place}: {text!r} is no pattern: {error}") from error
    raise ScriptError(f"{place}: a text condition is contains, equals or regex, not {how!r}.")


def _turn(raw: Any, place: str) -> Mapping[str, Any]:
    if not isinstance(raw, dict) or not raw.keys() & {"text", "tool_calls"}:
        raise ScriptError(f"{place} must have a 'text' or 'tool_calls'.")
    _known(raw, {"text", "tool_calls"}, place)
    for call in raw.get("tool_calls", ()):
        if not isinstance(call, dict) or "name" not in call:
            raise ScriptError(f"{place}: a tool call has a 'name' and 'arguments'.")
        _known(call, {"name", "arguments"}, place)
    if wrong := problems(raw):
        raise ScriptError(f"{place}: {'; '.join(wrong)}.")
    return raw


def _fault(raw: Any, rule: str) -> Fault:
    try:
        return Fault.model_validate({**raw, "rule": rule})
    except (TypeError, ValueError) as error:
        raise ScriptError(f"{rule}: {error}") from error


def _known(raw: Any, names: set[str], place: str) -> None:
    if not isinstance(raw, dict):
        raise ScriptError(f"{place} must be a mapping.")
    if unknown := sorted(map(str, set(raw) - names)):
        raise ScriptError(f"{place}: {', '.join(unknown)} is not known here; known are {', '.join(sorted(names))}.")
