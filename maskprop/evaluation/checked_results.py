"""Results files for whoever does not score them, checked as ``maskprop eval`` checks them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .detections import read_detections
from .ground_truth import parse_frames
from .results_io import read_results


def read_checked_results(
    path: str | Path, data: Mapping[str, Any], set_name: str | Path, allow_empty: bool = False
) -> list[dict]:
    """The records of a results file of a set, every one of which could be scored.

    Args:
        path: the file, or the zip that holds it.
        data: the set as it was parsed, with the frames that the results are of; it needs no annotations.
        set_name: its name in messages.
        allow_empty: take an empty list for a model that found nothing.

    Raises:
        EvalInputError: at the first record that is not of the set, or cannot be evaluated.
    """
    results = read_results(path)
    frames = parse_frames(dict(data), str(set_name))
    read_detections(frames, results, str(path), allow_empty=allow_empty, drop_unknown=False)
    return results
