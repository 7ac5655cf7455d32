"""Frames that a resize leaves no pixel of, as of strips far wider than high, or that it makes too large."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import mmcv

from maskprop.utils.numeric import MOST_PIXELS


def unusable_resize(transforms: Sequence[Any], height: int, width: int) -> str | None:
    """What is wrong with the frames that the first resize of a pipeline makes: no pixel, or too many; else None.

    Args:
        transforms: built, as of ``Compose.transforms``; those inside of others count.
        height, width: of the frames, in pixels.
    """
    resize = next((t for t in _flat(transforms) if _scales(t)), None)
    if resize is None:
        return None
    keeps_ratio = getattr(resize, 'keep_ratio', _inner(resize, 'keep_ratio'))
    for scale in _scales(resize):
        new_width, new_height = mmcv.rescale_size((width, height), scale) if keeps_ratio else scale
        if min(new_width, new_height) < 1:
            fix = 'cut them into pieces, or take a larger scale'
        elif new_width * new_height > MOST_PIXELS:
            fix = f'more than {MOST_PIXELS / 1e6:.0f} million pixels: take a smaller scale'
        else:
            continue
        return (
            f'frames are {width} x {height} pixels (width x height), of which {type(resize).__name__}, scale '
            f'{scale}, makes {new_width} x {new_height}: {fix}'
        )
    return None


def _inner(resize: Any, name: str) -> Any:
    """An argument that a transform of random scales hands on to the resize that it makes."""
    return getattr(resize, 'resize_cfg', {}).get(name, getattr(getattr(resize, 'resize', None), name, False))


def _scales(transform: Any) -> list[tuple[int, int]]:
    found = getattr(transform, 'scales', None) or [getattr(transform, 'scale', None)]
    found = found if isinstance(found, list | tuple) else []
    return [tuple(scale) for scale in found if _is_size(scale)]


def _is_size(scale: Any) -> bool:
    return isinstance(scale, list | tuple) and len(scale) == 2 and all(isinstance(side, int) for side in scale)


def _flat(transforms: Sequence[Any]) -> Iterator[Any]:
    for transform in transforms:
        yield transform
        inner = getattr(transform, 'transforms', None)
        if isinstance(inner, list | tuple):
            yield from _flat(inner)
        elif inner is not None and hasattr(inner, 'transforms'):  # a Compose
            yield from _flat(inner.transforms)
