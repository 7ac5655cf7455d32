"""What all errors have in common that the user can fix."""

from __future__ import annotations


class UserError(Exception):
    """An error whose message says what was found, where, and what to change; tools print it as one line.

    Every error class of the project is one, beside the kind of Python's that it is (ValueError, RuntimeError). The
    few messages of several lines have an argument for each; a line break within one, as of a name, is escaped.
    """

    def __str__(self) -> str:
        return '\n'.join(map(str, self.args))
