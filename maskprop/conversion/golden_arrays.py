"""What the modules of reference numbers are given and give."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor

from maskprop.engine.checkpoint import CheckpointError


class GoldenError(CheckpointError):
    """A case of reference numbers that is incomplete, damaged or of another method."""


class Arrays(dict[str, Tensor]):
    """The arrays of a file by name; one that is missing is named.

    Args:
        arrays: by name. missing: the error's text, with ``{!r}`` in place of the name.
    """

    def __init__(self, arrays: Mapping[str, Tensor], missing: str) -> None:
        super().__init__(arrays)
        self._missing = missing

    def __missing__(self, name: str) -> Tensor:
        raise GoldenError(self._missing.format(name))


class Compared(NamedTuple):
    """An array computed anew, the reference's, and how far they may differ: atol + rtol |reference|, 0: equal.

    Attributes:
        ours, reference: of the same shape; any numbers or bool.
        undecided: bool of that shape, or None; True where either value is right, such as a pixel whose probability
            is at the threshold.
    """

    ours: Tensor
    reference: Tensor
    atol: float = 0.0
    rtol: float = 0.0
    undecided: Tensor | None = None
