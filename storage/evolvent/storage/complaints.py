"""Pure: whether feedback says that a run went wrong, or only wishes for more.

A rating decides where there is one: up to 2 it went wrong. Without one the words do: those that say that something
was wrong are a dispute, and everything else ("Make it better", "shorter, please") is a wish. A wish takes nothing out
of service and no support from what was learnt.
"""

from __future__ import annotations

import re

WORST_RATING = 2
_MOST_READ = 10_000
_WRONG = re.compile(
    r"\b(?:wrong(?:ly)?|incorrect(?:ly)?|inaccurate|untrue|false|mistakes?|mistaken|erroneous|misunderstood|"
    r"hallucinat\w+|made (?:it|that|this) up|broken|useless|terrible|unacceptable|"
    r"(?:was|is|did|does|do|has|have|had|were|are|should|must|could|would|can) ?(?:not|n['\u2019]t) "
    r"(?:work\w*|help\w*|right|correct|true|what i|do (?:that|this|it)|have|be done)|"
    r"(?:not|no[,:]?) (?:right|correct|true|that|what i (?:asked|wanted|meant|said))|never (?:do|asked|wanted)|"
    r"undo|revert|falsch\w*|fehler\w*|stimmt nicht|nicht (?:richtig|korrekt|das))\b",
    re.IGNORECASE,
)
_DENIED = re.compile(
    r"\b(?:nothing|not|n['\u2019]t|never|no|without|nichts|kein\w*)\b(?: \w+){0,2} "
    r"(?:wrong|incorrect|mistakes?|broken|false|falsch\w*|fehler\w*)\b",
    re.IGNORECASE,
)


def is_complaint(text: str, rating: int | None) -> bool:
    """Say whether this disputes the run."""
    if rating is not None:
        return rating <= WORST_RATING
    return bool(_WRONG.search(_DENIED.sub(" ", text[:_MOST_READ])))
