"""How the demo speaks: colours, tables and a spinner on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from evolvent.platform.visible import visible

_WIDEST = 110
_PLAIN_WIDTH = 100
_INDENT = 3


class Teller:
    """Writes the story as it happens.

    Args:
        console: where to; `brief` writes nothing but the headings there.
    """

    def __init__(self, console: Console, *, brief: bool = False) -> None:
        self._console = console
        self._brief = brief

    @property
    def width(self) -> int:
        """How many characters a line has inside the indent."""
        return self._console.width - _INDENT

    def heading(self, text: str, why: str) -> None:
        """Begin a scene."""
        if self._brief:
            self._console.print(Text(text))
            return
        self._console.print()
        self._console.print(Text(text, style="bold cyan"))
        self.note(why)

    def line(self, text: str, *, style: str = "") -> None:
        """Write a line, wrapped where it is long."""
        self._indented(Text(visible(text), style=style))

    def note(self, text: str) -> None:
        """Write a line that explains."""
        self.line(text, style="dim")

    def clipped(self, text: str, *, style: str = "") -> None:
        """Write exactly one line, cut where it is long."""
        whole = Text(visible(text.replace("\n", " ")), style=style)
        whole.truncate(self.width, overflow="ellipsis")
        self._indented(whole)

    def quote(self, text: str, most_lines: int = 5) -> None:
        """Write the beginning of somebody's words."""
        lines = [line.rstrip() for line in text.splitlines() if line.strip()]
        for line in lines[:most_lines]:
            self.clipped(f"│ {line}", style="green")
        if len(lines) > most_lines:
            self.clipped(f"│ … {len(lines) - most_lines} more lines", style="green dim")

    def code(self, text: str) -> None:
        """Write a program or commands, as they are."""
        for line in text.rstrip().splitlines():
            self.clipped(f"  {line}", style="magenta")

    def blank(self) -> None:
        """Leave a line free."""
        if not self._brief:
            self._console.print()

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[object]], *, fold: Sequence[str] = ()) -> None:
        """Write rows under their columns; a column whose name ends in `#` holds numbers.

        Args:
            columns: their names.
            rows: one value for each column.
            fold: columns that give way where the line is too narrow.
        """
        held = [[str(value) for value in row] for row in rows]
        table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold", show_edge=False)
        for at, column in enumerate(columns):
            is_number = column.endswith("#")
            table.add_column(
                column.removesuffix("#"),
                justify="right" if is_number else "left",
                no_wrap=True,
                overflow="ellipsis",
                min_width=None if column in fold else max(len(column), *(len(row[at]) for row in held), 0),
            )
        for row in held:
            table.add_row(*map(Text, row))
        self._indented(table)

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """Show that something is under way."""
        if self._brief or not self._console.is_terminal:
            yield
            return
        with self._console.status(Text(what, style="dim")):
            yield

    def _indented(self, what: Text | Table) -> None:
        if not self._brief:
            self._console.print(Padding(what, (0, 0, 0, _INDENT), expand=False))


def teller(*, as_json: bool) -> Teller:
    """Return who tells the story: on stdout, or its headings on stderr where stdout is for JSON."""
    console = Console(stderr=as_json, highlight=False, soft_wrap=False)
    console.width = min(console.width, _WIDEST) if console.is_terminal else _PLAIN_WIDTH
    return Teller(console, brief=as_json)
