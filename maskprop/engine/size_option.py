"""``--size``: other sizes of frames in the pipelines of training, validation and test."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from maskprop.engine.errors import ConfigError
from maskprop.utils.numeric import MOST_SIDE

if TYPE_CHECKING:
    from mmengine.config import Config

# transforms with sizes in pixels that are no sizes of whole frames: what they mean at another size is not known
_OTHERS = ('CropInstance', 'FrameTrajectory', 'FixShapeResize', 'Mosaic', 'CachedMosaic')
SPLITS = ('train', 'val', 'test')
LEAST_SIDE = 36  # mmdet's RPN fails where a level of its pyramid has a single anchor


class Size(NamedTuple):
    """The longer and the shorter side of a frame, in pixels, that it fits into."""

    long: int
    short: int


def frame_size(text: str) -> Size:
    """An argument's ``type``: ``640x360``, or ``360p`` for the same."""
    sides = re.fullmatch(r'(\d+)x(\d+)', text)
    lines = re.fullmatch(r'(\d+)p', text)
    if not sides and not lines:
        raise argparse.ArgumentTypeError(
            f'{text}: expected WIDTHxHEIGHT, such as 640x360, or HEIGHTp, such as 360p'
        )
    width, height = map(int, sides.groups()) if sides else (0, 0)
    if lines:
        width, height = round(int(lines[1]) * 16 / 9), int(lines[1])
    if min(width, height) < LEAST_SIDE or max(width, height) > MOST_SIDE:
        raise argparse.ArgumentTypeError(f'{text}: expected sides of {LEAST_SIDE} to {MOST_SIDE} pixels')
    return Size(max(width, height), min(width, height))


def use_size(cfg: Config, size: Size) -> None:
    """Resize frames to another size, in place.

    Validation and test get ``size``: frames keep their shape, the longer side has ``size.long`` pixels at most,
    the shorter one ``size.short``. All sizes of the training (scales that are drawn from, their ranges, crops) are
    multiplied by the ratio of the new and the old size of the test, the longer and the shorter side each by its
    own. So a training at one size gets the new one, and one at many keeps its spread around it.

    Raises:
        ConfigError: the test resizes nothing, or validation and test to different sizes; a transform has sizes
            that cannot follow.
    """
    name = f'config {cfg.filename}: --size {size.long}x{size.short}'
    steps = {split: [step for part in _pipelines(cfg, split) for step in _steps(part)] for split in SPLITS}
    for split, found in steps.items():
        for step in found:
            if _type(step) in _OTHERS or (
                'Resize' in _type(step) and not (step.get('scale') or step.get('scales'))
            ):
                raise ConfigError(
                    f'{name}: {split}_dataloader has {_type(step)}, whose sizes do not follow those of frames; '
                    'set them in its pipeline by --cfg-options'
                )
    old = {tuple(step['scale']) for step in [*steps['val'], *steps['test']] if _type(step) == 'Resize'}
    if len(old) != 1:
        sizes = f'sizes {sorted(old)}' if old else 'none'
        raise ConfigError(
            f'{name}: expected a Resize to one size in validation and test, found {sizes}; set the scales of the '
            'pipelines by --cfg-options'
        )
    sides = old.pop()
    long, short = size.long / max(sides), size.short / min(sides)
    for step in {id(step): step for found in steps.values() for step in found}.values():  # splits may share some
        _change(step, long, short)


def _change(step: Any, long: float, short: float) -> None:
    """Multiply the sizes of a transform, of frames or of crops."""
    if 'Resize' in _type(step):
        for key in ('scale', 'scales'):
            if step.get(key):
                step[key] = _times(step[key], long, short)
    elif _type(step) == 'RandomCrop' and step.get('crop_type', 'absolute').startswith('absolute'):
        height, width = step['crop_size']
        step['crop_size'] = (round(height * short), round(width * long))


def _times(scale: Any, long: float, short: float) -> Any:
    if isinstance(scale, list | tuple) and scale and isinstance(scale[0], list | tuple):
        return [_times(one, long, short) for one in scale]
    width, height = scale
    factors = (long, short) if width >= height else (short, long)
    return tuple(max(round(side * factor), 1) for side, factor in zip(scale, factors, strict=True))


def _type(step: Any) -> str:
    kind = step.get('type')
    return (kind if isinstance(kind, str) else getattr(kind, '__name__', '')).rpartition('.')[2]


def _pipelines(cfg: Config, split: str) -> Iterator[Any]:
    loader = cfg.get(f'{split}_dataloader')
    sets = [loader['dataset']] if loader else []
    while sets:
        dataset = sets.pop()
        if dataset.get('pipeline'):
            yield dataset['pipeline']
        sets += [*dataset.get('datasets', []), *([dataset['dataset']] if 'dataset' in dataset else [])]


def _steps(pipeline: Any) -> Iterator[Any]:
    """All transforms, those inside of others too."""
    for step in pipeline:
        if isinstance(step, list | tuple):
            yield from _steps(step)
        else:
            yield step
            yield from _steps(step.get('transforms') or ())
