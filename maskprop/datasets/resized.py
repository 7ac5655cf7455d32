"""Frames that a pipeline's resize leaves no pixel of: strips that are far wider than high, or higher than wide."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import mmcv


def emptied_by_resize(transforms: Sequence[Any], height: int, width: int) -> str | None:
    """What the first resize of a pipeline would make of frames, if that has no pixel; None if it has.

    Args:
        transforms: built, as of ``Compose.transforms``; those inside of others count.
        height, width: of the frames, in pixels.
    """
    resize = next((t for t in _flat(transforms) if _scales(t)), None)
    if resize is None or not getattr(resize, 'keep_ratio', _inner(resize, 'keep_ratio')):
        return None
    for scale in _scales(resize):
        new_width, new_height = mmcv.rescale_size((width, height), scale)
        if new_width < 1 or new_height < 1:
            return (
                f'frames are {width} x {height} pixels (width x height), of which {type(resize).__name__}, scale '
                f'{scale}, makes {new_width} x {new_height}: cut them into pieces, or take a larger scale'
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
