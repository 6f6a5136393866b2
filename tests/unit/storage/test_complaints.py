from __future__ import annotations

import pytest

from evolvent.storage.complaints import is_complaint


@pytest.mark.parametrize(
    "text",
    [
        "That was wrong",
        "The total isn't right",
        "it did not work",
        "It doesn't work at all",
        "not what I asked",
        "No, not that",
        "This is incorrect.",
        "You made that up",
        "please UNDO this",
        "Das ist falsch",
        "stimmt nicht",
    ],
)
def test_words_that_say_it_was_wrong_dispute_the_run(text: str) -> None:
    assert is_complaint(text, None)


@pytest.mark.parametrize(
    "text",
    [
        "Make it better",
        "",
        "Shorter, please",
        "Name the file that you read",
        "Nothing wrong with it",
        "not wrong, but slow",
    ],
)
def test_a_wish_disputes_nothing(text: str) -> None:
    assert not is_complaint(text, None)


def test_a_rating_says_more_than_words() -> None:
    assert is_complaint("Lovely", 2)
    assert not is_complaint("That was wrong", 3)


def test_a_long_text_is_read_in_bounded_time() -> None:
    assert not is_complaint("not " * 100_000, None)
