from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from evolvent.platform.asking import Answer
from evolvent.platform.cli import ask
from evolvent.platform.cli.frame import print_rows, say
from evolvent.platform.demo.telling import Teller
from evolvent.platform.visible import visible

HOSTILE = "before\x1b[2J\x1b]0;title\x07\r\x9b31m\u202eafter"


def is_safe(text: str) -> bool:
    return not any(c not in "\n\t" and (ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 or c == "\u202e") for c in text)


@given(st.text())
def test_no_control_code_is_left_and_other_text_is_as_it_was(text: str) -> None:
    assert is_safe(visible(text))
    if is_safe(text) and not set(text) & set("\u200e\u200f\u202a\u202b\u202c\u202d\u2066\u2067\u2068\u2069"):
        assert visible(text) == text


def test_what_a_model_says_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    answer = Answer(run_id="r", status="completed", answer=HOSTILE)
    ask._print_answer(answer, as_json=False)
    ask._Terminal(everything=True).token(HOSTILE)
    print_rows([{"message": HOSTILE}], ("message",), as_json=False)
    say(HOSTILE)
    Teller(Console(width=200)).quote(HOSTILE)
    out, err = capsys.readouterr()
    assert is_safe(out)
    assert is_safe(err)
    assert (out + err).count("\\x1b[2J") >= 5


def test_a_program_gets_the_answer_as_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    import json

    ask._print_answer(Answer(run_id="r", status="completed", answer=HOSTILE), as_json=True)
    assert json.loads(capsys.readouterr().out)["answer"] == HOSTILE
