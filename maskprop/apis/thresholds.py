"""Which threshold decided, where nothing was found."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from numbers import Real
from typing import Any

import numpy as np
from torch import nn

from maskprop.apis.session import VideoSession

KEYS = ('score_thr', 'obj_score_thr')  # below these a detection is dropped: the detector's, a tracker's


def score_thresholds(model: MutableMapping[str, Any]) -> dict[str, float]:
    """The score thresholds of a model's config, as ``--cfg-options`` names them: dotted key -> value."""
    return {
        '.'.join(['model', *path]): settings[path[-1]]
        for path, settings in _thresholds(model)
        if 'train_cfg' not in path
    }


def highest_score(model: nn.Module, frame: np.ndarray) -> float | None:
    """The highest score of any detection in a frame, with the detector's ``score_thr`` at 0 for the while.

    Args:
        model: from :func:`~maskprop.apis.init_model`.
        frame: (h, w, 3) uint8 BGR.

    Returns:
        the score; None: there is no detection at all, or it cannot be found out.
    """
    try:
        with _without_thresholds(model):
            session = VideoSession(model)
            results = [*session.step(frame), *session.finish()]
    except Exception:  # a hint, for which no results are given up
        return None
    return max((score for result in results for score in result.scores), default=None)


def explain_empty(model: nn.Module, frame: np.ndarray, index: int) -> str:
    """Why no frame has an object, in a sentence or two: the config's threshold, and what score it met.

    Args:
        model: from :func:`~maskprop.apis.init_model`.
        frame: one of the video's, in which the highest score is looked for.
        index: its number.
    """
    thresholds, highest = score_thresholds(model.cfg.get('model') or {}), highest_score(model, frame)
    seen = f'the highest score in frame {index} is {highest or 0:.2g}'
    if highest is not None and (deciding := {key: value for key, value in thresholds.items() if value > highest}):
        key, value = max(deciding.items(), key=lambda item: item[1])
        lower = f'. Lower it: --cfg-options {key}={0.8 * highest:.1g}'
        return f'no detection reached {key}={value:g}; {seen}{lower if highest > 0 else ""}'
    listed = ', '.join(f'{key}={value:g}' for key, value in thresholds.items())
    known = f'the thresholds of the config are {listed}' if listed else 'the config names no score_thr'
    return f'no frame has an object; {seen}; {known}'


@contextmanager
def _without_thresholds(model: nn.Module) -> Iterator[None]:
    places = {
        id(settings): (settings, settings['score_thr'])
        for module in model.modules()
        for path, settings in _thresholds(vars(module))
        if path[-1] == 'score_thr'
    }
    try:
        for settings, _ in places.values():
            settings['score_thr'] = 0.0
        yield
    finally:
        for settings, value in places.values():
            settings['score_thr'] = value


def _thresholds(settings: MutableMapping[str, Any]) -> Iterator[tuple[list[str], MutableMapping]]:
    """Every threshold in nested settings: its path, and the dict that holds it.

    A detector's heads get copies of its ``test_cfg`` when it is built, which are passed over.
    """
    for key, value in settings.items():
        if 'test_cfg' in settings and str(key).endswith('_head'):
            continue
        if key in KEYS and isinstance(value, Real):
            yield [key], settings
        elif isinstance(value, MutableMapping):
            for path, inner in _thresholds(value):
                yield [str(key), *path], inner
