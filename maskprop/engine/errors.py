"""Errors that the user can fix; here, where no torch is imported, so that tools name them before it is."""

from __future__ import annotations

from maskprop.utils.errors import UserError


class CheckpointError(UserError, RuntimeError):
    """A checkpoint that is damaged, holds a class that isn't allowed, or doesn't fit the model."""


class ConfigError(UserError, ValueError):
    """A config that cannot work; the message names the key, what was found and what to change."""


class LaunchError(UserError, RuntimeError):
    """The environment is not that of the launcher that was asked for."""
