"""The automations that may serve, ready to be asked: does this request consist of what they know, and nothing else?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from evolvent.events.language.learning.automation import Automation, needs_confirmation
from evolvent.events.language.learning.instantiation import instantiate, request_params
from evolvent.events.language.learning.matching import Abstained, MatchIndex, build_index, match
from evolvent.events.language.learning.placement import NotServed
from evolvent.events.language.learning.templates import Template, parse_template
from evolvent.events.language.tools import ToolSpec
from evolvent.events.language.workflow import Workflow


@dataclass(frozen=True, slots=True)
class Served:
    """How automations serve a request: one workflow, its parameters, and which automations it is made of."""

    workflow: Workflow
    params: dict[str, Any]
    automations: tuple[Automation, ...]


@dataclass(frozen=True)
class Library:
    """The live automations and the small talk of their scopes, indexed. Never changed: a new one is made."""

    by_id: Mapping[str, Automation]
    index: MatchIndex

    @classmethod
    def of(cls, automations: Iterable[Automation], small_talk: Iterable[Template] = ()) -> Library:
        """Index automations, and what is said beside them and asks for nothing."""
        by_signature = {each.signature: each for each in automations if each.kind != "hint"}
        templates = [parse_template(each.template) for each in by_signature.values() if each.template]
        return cls(by_signature, build_index([*templates, *small_talk]))

    def serve(
        self,
        message: str,
        scope: tuple[str, str],
        *,
        tools: Mapping[str, ToolSpec] | None = None,
        may_ignore: bool = False,
    ) -> Served | Abstained:
        """Return how a request is served, or why the agent should do it. `scope` is (goal, agent_id).

        A tool that is gone, or whose schema is another than it was, is a reason. So is that something would be written
        although a value in the request is looked at by nothing, such as a name beside a number, unless `may_ignore`.
        """
        found = match(self.index, message, scope)
        if isinstance(found, Abstained):
            return found
        parts = [(self.by_id[part.template_id], part.slots) for part in found.parts]
        for automation, _ in parts:
            why = None if tools is None else _changed(automation, tools)
            if why is not None:
                return Abstained(why, "tool_changed")
        if not may_ignore and needs_confirmation(automation for automation, _ in parts):
            return Abstained("It would write, and nothing looks at some value of the request.", "unconfirmed")
        workflow = instantiate(parts, agent_id=scope[1], name="+".join(automation.name for automation, _ in parts))
        if isinstance(workflow, NotServed):
            return Abstained(workflow.reason, "not_placed")
        return Served(workflow, request_params(parts), tuple(automation for automation, _ in parts))


def _changed(automation: Automation, tools: Mapping[str, ToolSpec]) -> str | None:
    for name, schema_hash in automation.tools.items():
        spec = tools.get(name)
        if spec is None:
            return f"{automation.name} wants the tool {name!r}, which is not there."
        if schema_hash and spec.schema_hash != schema_hash:
            return f"{automation.name} was learnt with another version of the tool {name!r}."
    return None
