"""What all errors have in common that the user can fix."""

from __future__ import annotations


class UserError(Exception):
    """An error whose message says what was found, where, and what to change; tools print it as one line.

    Every error class of the project is one, beside the kind of Python's that it is (ValueError, RuntimeError).
    """
