"""Fewer overlapping proposals of a frame (UnOVOST, Section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def thin(scores: Sequence[float], ious: np.ndarray, threshold: float) -> list[int]:
    """The proposals that stay, in the order in which the released code keeps them.

    In the order of the list, each proposal meets the kept one that it overlaps most. Below the threshold both
    stay. Otherwise the one of higher score does, of equal scores the kept one; one that takes another's place goes
    to the end. That is repeated on what stays, until nothing overlaps.

    Args:
        scores: N of them. ious: (N, N) IoU of the proposals' masks. threshold: 0 to 1.

    Returns:
        rows of those that stay. With scores in descending order that is the NMS of masks.
    """
    kept, clash = list(range(len(scores))), True
    while clash:
        given, kept, clash = kept, [], False
        for row in given:
            best = max(kept, key=ious[row].__getitem__, default=None)
            if best is None or ious[row, best] < threshold:
                kept.append(row)
                continue
            clash = True
            if scores[row] > scores[best]:
                kept.remove(best)
                kept.append(row)
    return kept
