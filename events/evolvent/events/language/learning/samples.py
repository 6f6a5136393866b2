"""An example as induction works on it: its slots and outputs, and an index of which programs give which value."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from evolvent.events.language.json_bounds import structured
from evolvent.events.language.json_paths import Path
from evolvent.events.language.learning.contexts import ASKED, READ
from evolvent.events.language.learning.examples import Example, StepCall
from evolvent.events.language.learning.nodes import Normal, Output, Override, Program, Slot, steps_of
from evolvent.events.language.learning.programs import NORMALS, Repeated
from evolvent.events.language.learning.values import key_of, leaves, literal_of
from evolvent.events.language.references import Scope

_NORMALS: tuple[Normal, ...] = (
    *("trim", "lower", "upper", "title", "number", "money", "decimal", "currency", "date", "clock"),
    *("minutes", "hours", "days", "seconds"),
)
_PREFIXES = ("#", "@", "$")
Known = Mapping[Any, tuple[Program, ...]]


@dataclass(frozen=True, slots=True)
class Part:
    """A part of what a step returned: where it stands."""

    step: str
    path: Path
    value: Any


@dataclass(slots=True)
class Sample:
    """One example under study. `scope` grows by the output of each step that is understood."""

    example: Example
    scope: Scope = field(init=False)
    _outputs: dict[str, Any] = field(default_factory=dict)
    _places: list[tuple[str, int | None]] = field(default_factory=list)
    _parts: dict[tuple[str, int | None], tuple[Part, ...]] = field(default_factory=dict)
    _known: dict[tuple[int | None, int], Known] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.scope = Scope(params=dict(self.example.slots), outputs=self._outputs)
        for call in self.example.context:
            self.learn_output(READ, call.result)
            self.learn_output(ASKED, dict(call.arguments))

    @property
    def run_id(self) -> str:
        """The run that the example is part of."""
        return self.example.run_id

    @property
    def size(self) -> int | None:
        """How often the group is repeated; None where there is no group, or two of different sizes."""
        sizes = {len(texts) for texts in self.example.slots.values() if isinstance(texts, tuple)}
        return sizes.pop() if len(sizes) == 1 else None

    def is_web(self, program: Program) -> bool:
        """Say whether a program reads what came from the web, which no guard learns by heart."""
        web = {call.step for call in self.example.calls if call.origin == "web"}
        return bool(web) and bool(web & steps_of(program))

    def calls(self, step: str) -> list[StepCall]:
        """Return the calls of a step, in order of their items."""
        found = [call for call in self.example.calls if call.step == step]
        return sorted(found, key=lambda call: call.item or 0)

    def learn_output(self, step: str, output: Any) -> None:
        """Take in what a step returned."""
        if isinstance(output, Repeated):
            self._outputs[step] = Repeated(structured(each) for each in output)
            self._places += [(step, index) for index in range(len(output))]
        else:
            self._outputs[step] = structured(output)
            self._places.append((step, None))

    def parts(self, index: int | None) -> Iterator[Part]:
        """Yield every leaf of every output that a program at this repetition can reach."""
        for step, at in self._places:
            if at is not None and at != index:
                continue
            if (step, at) not in self._parts:
                found = leaves(self.output(step, at))
                self._parts[step, at] = tuple(Part(step, path, value) for path, value in found)
            yield from self._parts[step, at]

    def output(self, step: str, index: int | None) -> Any:
        """Return what a step returned; of a repeated one, at this repetition."""
        found = self._outputs.get(step)
        if not isinstance(found, Repeated):
            return found
        return found[index] if index is not None and index < len(found) else None

    def steps(self, index: int | None) -> list[str]:
        """Return the steps that a program at this repetition can reach."""
        return [step for step, at in self._places if at is None or at == index]

    def known(self, index: int | None) -> Known:
        """Return the simple programs by the value that they give: slots, what slots spell, plain fields of outputs."""
        at = (index, len(self._outputs))
        if at not in self._known:
            self._known = {key: value for key, value in self._known.items() if key[1] == at[1]}
            self._known[at] = self._index(index)
        return self._known[at]

    def _index(self, index: int | None) -> Known:
        found: dict[Any, dict[Program, None]] = defaultdict(dict)
        for program, value in self._simple(index):
            found[key_of(value, loose=True)].setdefault(program)
        return {key: tuple(programs) for key, programs in found.items()}

    def _simple(self, index: int | None) -> Iterator[tuple[Program, Any]]:
        records: list[tuple[Slot, dict[str, Any]]] = []
        for name, texts in self.example.slots.items():
            if isinstance(texts, tuple) and (index is None or index >= len(texts)):
                continue
            text = texts[index] if isinstance(texts, tuple) and index is not None else str(texts)
            for slot, value in views_of(name, text):
                yield slot, value
                if isinstance(value, dict):
                    records.append((slot, value))
        yield from _overrides(records)
        for part in self.parts(index):
            if not any(isinstance(step, int) for step in part.path):
                yield Output(step=part.step, path=part.path), part.value


def views_of(name: str, text: str) -> Iterator[tuple[Slot, Any]]:
    """Yield the ways to read a slot's text, with the values that they give; a way that changes nothing is left out."""
    yield Slot(name=name), text
    seen = {key_of(text)}
    for normal in _NORMALS:
        value = NORMALS[normal](text)
        if value is not None and key_of(value) not in seen:
            seen.add(key_of(value))
            yield Slot(name=name, normal=(normal,)), value
    if text[:1] in _PREFIXES:
        yield Slot(name=name, strip=text[0]), text[1:]
    elif text and text[0].isalnum():
        for prefix in _PREFIXES:
            yield Slot(name=name, put=prefix), f"{prefix}{text}"
    literal = literal_of(text)
    if literal is None:
        return
    yield Slot(name=name, literal=True), literal
    for path, value in leaves(literal, limit=200):
        if path:
            yield Slot(name=name, literal=True, path=path), value


def _overrides(records: list[tuple[Slot, dict[str, Any]]]) -> Iterator[tuple[Program, Any]]:
    for old, old_value in records:
        for new, new_value in records:
            if old is not new and new_value.keys() <= old_value.keys():
                yield Override(old=old, new=new), {**old_value, **new_value}
