"""The command line: one file for each group of commands, one short function for each command.

Lives here: words, options, tables and exit codes. Importing a group imports nothing heavy: what a command needs is
imported inside it, so that `evolvent --help` answers at once. Shown in use by tests/e2e/test_cli.py.
"""

from __future__ import annotations


def main() -> None:
    """Run the command line and exit."""
    from evolvent.platform.cli.app import run

    run()
