"""Which clause each sentence of an answer is about."""

from __future__ import annotations

from collections.abc import Sequence

from evolvent.events.language.learning.attribution import Attribution
from evolvent.events.language.learning.tokens import phrase


def answers(work: Attribution, active: Sequence[int], values: Sequence[frozenset[str]]) -> dict[int, str]:
    """Give each clause its part of the answer: to the only one all of it, else sentence by sentence, by values.

    Sentences that name nothing go with the next one that does. An answer that names nothing at all ("This is done.") is
    said of every clause that does more than introduce somebody. `values` are the clauses' values as phrases.
    """
    answer = work.index.answer.strip()
    if not answer or len(active) < 2:
        return {place: answer for place in active if answer}
    parts: dict[int, list[str]] = {}
    waiting: list[str] = []
    current: int | None = None
    known = frozenset().union(*work.said, *values)
    for sentence in _sentences(answer):
        words = phrase(sentence)
        best = [place for place in work.best(each for each in known if each in words) if place in active]
        current = best[0] if len(best) == 1 else current
        if current is None:
            waiting.append(sentence)
            continue
        parts.setdefault(current, []).extend([*waiting, sentence])
        waiting = []
    if waiting:
        introducing = set(work.introductions.values()) - set(work.homes.values())
        return {place: answer for place in active if place not in introducing}
    return {place: " ".join(sentences) for place, sentences in parts.items()}


def _sentences(text: str) -> list[str]:
    sentences: list[str] = []
    start = 0
    for place, letter in enumerate(text):
        ends = letter == "\n" or (letter in ".!?" and text[place + 1 : place + 2] in ("", " ", "\n"))
        if ends and text[start : place + 1].strip():
            sentences.append(text[start : place + 1].strip())
            start = place + 1
    return [*sentences, text[start:].strip()] if text[start:].strip() else sentences
