"""Answers as templates: the words that all answers share, and programs for what differs. No proof, no template."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher

from evolvent.events.language.learning.candidates import Target, candidates, cost
from evolvent.events.language.learning.nodes import Output, Program, Slot, Text
from evolvent.events.language.learning.programs import evaluate
from evolvent.events.language.learning.samples import Sample
from evolvent.events.language.learning.values import same
from evolvent.events.language.learning.voting import AGREEMENT, MIN_RUNS
from evolvent.events.language.references import as_text
from evolvent.events.language.workflow_problems import ReferenceUnresolved

MAX_ANSWER = 4000
PROOF = 0.9
"""The share of answers that a template gives word for word: a wrong answer is worse than a call to a small model."""
_TOKEN = re.compile(r"\s+|\d+(?:[:/,.]\d+)+|[^\W_]+(?:[_\-.@'][^\W_]+)*|_|[^\w\s]")
_TRUSTED_WORDS = 4
"""A longer run of fixed words that also stands in a result may have come from there."""
Tokens = tuple[str, ...]


def learn_response(samples: Sequence[Sample]) -> Text | None:
    """Return the template that gives the answers of most runs, or None where the examples prove none.

    A clause that only reads, and of which the answers say nothing, gets an empty template.
    """
    silent = sum(not (sample.example.answer or "").strip() for sample in samples)
    if silent >= AGREEMENT * len(samples):
        is_context = not any(call.is_write for sample in samples for call in sample.example.calls)
        return Text(parts=()) if is_context else None
    told = [(sample, _tokens(sample.example.answer)) for sample in samples if _is_short(sample.example.answer)]
    if len({sample.run_id for sample, _ in told}) < MIN_RUNS:
        return None
    # What nearly all answers share may still be data: the frame that all share comes first.
    tries = ((pivot, share) for share in (1.0, PROOF, AGREEMENT) for pivot in _pivots(told))
    return next((found for pivot, share in tries if (found := _proven(pivot, share, told, samples))), None)


def _proven(
    pivot: Tokens, share: float, told: Sequence[tuple[Sample, Tokens]], samples: Sequence[Sample]
) -> Text | None:
    frame = _shared(pivot, [tokens for _, tokens in told], share)
    fitting = [(sample, gaps) for sample, tokens in told if (gaps := _gaps(frame, tokens)) is not None]
    if len(fitting) < PROOF * len(samples):
        return None
    template = _template(frame, fitting)
    right = [sample for sample in samples if template is not None and _gives(template, sample)]
    is_enough = len(right) >= PROOF * len(samples) and len({sample.run_id for sample in right}) >= MIN_RUNS
    return template if is_enough else None


def _is_short(answer: str | None) -> bool:
    return bool(answer and answer.strip()) and len(answer or "") <= MAX_ANSWER


def _tokens(answer: str | None) -> Tokens:
    return tuple(_TOKEN.findall(answer or ""))


def _pivots(told: Sequence[tuple[Sample, Tokens]]) -> list[Tokens]:
    """Return a few answers to start from: a slip may be among them, so one is not enough."""
    lengths = sorted(len(tokens) for _, tokens in told)
    middle = lengths[len(lengths) // 2]
    return sorted({tokens for _, tokens in told}, key=lambda tokens: (abs(len(tokens) - middle), tokens))[:3]


def _shared(pivot: Tokens, answers: Sequence[Tokens], share: float) -> Tokens:
    """Return the tokens of the pivot that so many answers have in the same order; `` stands for what differs."""
    counts = [0] * len(pivot)
    for tokens in answers:
        for block in SequenceMatcher(None, pivot, tokens, autojunk=False).get_matching_blocks():
            for at in range(block.a, block.a + block.size):
                counts[at] += 1
    enough = share * len(answers)
    frame: list[str] = []
    for token, count in zip(pivot, counts, strict=True):
        # A figure in an answer is data, also where it was the same each time.
        if count >= enough and not re.search(r"\d", token):
            frame.append(token)
        elif not frame or frame[-1]:
            frame.append("")
    return _without_islands(frame)


def _without_islands(frame: list[str]) -> Tokens:
    """Join gaps that only blanks lie between: they are one value of several words."""
    joined: list[str] = []
    for token in frame:
        if token == "" and len(joined) >= 2 and joined[-2] == "" and joined[-1].isspace():
            joined.pop()
            continue
        joined.append(token)
    return tuple(joined)


def _gaps(frame: Tokens, tokens: Tokens) -> list[str] | None:
    """Return what stands in the gaps of the frame in an answer; None where the answer has another frame."""
    pattern = "".join("(.*?)" if token == "" else re.escape(token) for token in frame)
    found = re.fullmatch(pattern, "".join(tokens), re.DOTALL)
    return list(found.groups()) if found else None


def _template(frame: Tokens, fitting: Sequence[tuple[Sample, list[str]]]) -> Text | None:
    parts: list[str | Program] = []
    gap = 0
    for token in frame:
        if token:
            program = _as_data(token, [sample for sample, _ in fitting])
            parts.append(program if program is not None else token)
            continue
        found = _program([Target(sample, None, gaps[gap]) for sample, gaps in fitting])
        if found is None:
            return None
        parts.append(found)
        gap += 1
    joined = _joined(parts)
    return None if _holds_foreign_words(joined, [sample for sample, _ in fitting]) else Text(parts=joined)


def _program(targets: Sequence[Target]) -> Program | None:
    if all(target.value == "" for target in targets):
        return Text(parts=())
    votes = []
    for program in candidates(targets):
        hits = sum(_text_of(program, target.sample) == target.value for target in targets)
        if hits >= AGREEMENT * len(targets):
            votes.append((-hits, cost(program), program.model_dump_json(), program))
    return min(votes)[3] if votes else None


def _as_data(token: str, samples: Sequence[Sample]) -> Program | None:
    """Return the field that a fixed word was copied from in every run: it is data that happened not to differ."""
    if len(token) < 3:
        return None
    for part in samples[0].parts(None):
        if same(part.value, token) and not any(isinstance(step, int) for step in part.path):
            program = Output(step=part.step, path=part.path)
            if all(_text_of(program, sample) == token for sample in samples):
                return program
    for name, text in samples[0].example.slots.items():
        if text == token and all(sample.example.slots.get(name) == token for sample in samples):
            return Slot(name=name)
    return None


def _holds_foreign_words(parts: Sequence[str | Program], samples: Sequence[Sample]) -> bool:
    """Say whether fixed words of the answer stand in what a tool returned: they must not become part of a template."""
    fixed = [part.strip() for part in parts if isinstance(part, str) and len(part.split()) >= _TRUSTED_WORDS]
    results = {
        part.value for sample in samples for part in sample.parts(None) if isinstance(part.value, str) and part.value
    }
    if any(text in result for text in fixed for result in results):
        return True
    long = [result for result in results if len(result.split()) >= _TRUSTED_WORDS]
    return any(result in text for text in fixed for result in long)


def _joined(parts: Sequence[str | Program]) -> tuple[str | Program, ...]:
    found: list[str | Program] = []
    for part in parts:
        last = found[-1] if found else None
        if isinstance(part, str) and isinstance(last, str):
            found[-1] = last + part
        else:
            found.append(part)
    return tuple(found)


def _gives(template: Text, sample: Sample) -> bool:
    return _text_of(template, sample) == sample.example.answer


def _text_of(program: Program, sample: Sample) -> str | None:
    try:
        return as_text(evaluate(program, sample.scope))
    except ReferenceUnresolved:
        return None
