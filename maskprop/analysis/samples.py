"""A training sample as a data set yields it, drawn: frames after augmentation, with what is annotated in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from maskprop.engine.config import ConfigError
from maskprop.visualization.strip import compose, draw_cell
from maskprop.visualization.tracks import Track

CELL_WIDTH = 320  # pixels
BORDER = 1  # pixels, of the outline of a box without a mask


def draw_sample(sample: Any, classes: Sequence[str], *, title: str = 'sample') -> np.ndarray:
    """The frames of a sample side by side, an object in one colour in all of them.

    Objects without a mask are drawn as the outlines of their boxes; ignored ones (crowds) are named so.

    Args:
        sample: packed: ``inputs``, (T, 3, h, w) or (3, h, w) BGR before normalisation, and ``data_samples``, of a
            clip, a single image or crops of identities.
        classes: names by label. title: left of the pictures.

    Returns:
        (H, W, 3) uint8 BGR.

    Raises:
        ConfigError: the pipeline packs something else.
    """
    if not isinstance(sample, Mapping) or getattr(sample.get('inputs'), 'ndim', 0) not in (3, 4):
        raise ConfigError(
            f'the data set yields {_describe(sample)}, which cannot be drawn: its pipeline must end in a '
            'transform that packs inputs of (T, 3, h, w) or (3, h, w), such as PackTrackInputs'
        )
    inputs = sample['inputs'] if sample['inputs'].ndim == 4 else sample['inputs'][None]
    images = [np.ascontiguousarray(_to_uint8(image.permute(1, 2, 0).numpy())) for image in inputs]
    data = sample.get('data_samples')
    frames = getattr(data, 'video_data_samples', None) or [data] * len(images)
    names = [_header(frame, place, data) for place, frame in enumerate(frames)]
    tracks = _tracks(frames, classes, images[0].shape[:2]) if hasattr(frames[0], 'gt_instances') else []
    width = min(CELL_WIDTH, 4 * images[0].shape[1])
    cells = [draw_cell(image, tracks, t, width) for t, image in enumerate(images)]
    return compose({title: cells}, names)


def _describe(sample: Any) -> str:
    if isinstance(sample, Mapping):
        return f'a dict of {", ".join(sorted(map(str, sample)))}'
    return f'a {type(sample).__name__}'


def _to_uint8(image: np.ndarray) -> np.ndarray:
    return np.clip(image, 0, 255).round().astype(np.uint8)


def _header(frame: Any, place: int, data: Any) -> str:
    if hasattr(data, 'gt_label'):  # crops of identities
        labels = np.ravel(data.gt_label.label.numpy())
        return f'identity {labels[place]}' if place < labels.size else ''
    number = (getattr(frame, 'metainfo', None) or {}).get('frame_id')
    keys = (getattr(data, 'metainfo', None) or {}).get('key_frames_inds', ())
    name = f'picture {place}' if number is None else f'frame {number}'
    return f'{name}, key' if place in keys else name


def _tracks(frames: Sequence[Any], classes: Sequence[str], size: tuple[int, int]) -> list[Track]:
    """The objects of all frames; one a frame where they have no ids."""
    found: dict[Any, tuple[str, list[Any]]] = {}  # label, masks
    for t, frame in enumerate(frames):
        for ignored in (False, True):
            instances = frame.ignored_instances if ignored else frame.gt_instances
            if not len(instances):
                continue
            for n, mask in enumerate(_masks(instances, size)):
                number = int(instances.instances_ids[n]) if 'instances_ids' in instances else (t, n)
                label = classes[int(instances.labels[n])] + (' (ignored)' if ignored else '')
                key = (number, ignored)
                if key not in found:
                    found[key] = (label, [None] * len(frames))
                found[key][1][t] = mask
    return [Track(place, label, masks) for place, (label, masks) in enumerate(found.values(), 1)]


def _masks(instances: Any, size: tuple[int, int]) -> list[np.ndarray]:
    """(h, w) bool of each object, the outline of its box where it has no mask."""
    boxes = instances.bboxes
    boxes = (boxes.tensor if hasattr(boxes, 'tensor') else boxes).numpy()
    masks = []
    for n, box in enumerate(boxes):
        valid = 'masks' in instances and ('mask_valid' not in instances or bool(instances.mask_valid[n]))
        masks.append(instances.masks.to_ndarray()[n].astype(bool) if valid else _outline(box, size))
    return masks


def _outline(box: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(size, bool)
    left, top, right, bottom = np.clip(np.round(box).astype(int), 0, [size[1], size[0]] * 2)
    mask[top:bottom, left:right] = True
    mask[top + BORDER : bottom - BORDER, left + BORDER : right - BORDER] = False
    return mask
