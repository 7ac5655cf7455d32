"""Large training files without frames: for this project (YouTube-VIS) and for mmdet (a record for each frame)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pycocotools import mask as mask_api

KINDS = ('polygon', 'RLE, list of runs', 'RLE, compressed')
POINTS = 60  # of a polygon
POOL = 200  # masks that the objects take in turn


@dataclass(frozen=True)
class FileShape:
    """What a file holds.

    Attributes:
        videos: their number. frames, objects: least and most of one. categories: their number.
        size: (height, width) in pixels.
    """

    videos: int
    frames: tuple[int, int]
    objects: tuple[int, int]
    categories: int = 40
    size: tuple[int, int] = (720, 1280)


#: YouTube-VIS 2019 training in numbers of videos, frames, objects and categories.
TRAINING = FileShape(2238, (20, 36), (1, 3))


def write_files(folder: Path, shape: FileShape, kind: str, classes: tuple[str, ...]) -> dict[str, int]:
    """Write ``ytvis.json`` and ``frames.json``, which hold the same; masks of ``kind``, of :data:`KINDS`.

    Returns:
        numbers of videos, frames, objects and masks.
    """
    rng = np.random.default_rng(0)
    pool = [_mask(rng, shape.size, kind) for _ in range(POOL)]
    categories = [dict(id=k + 1, name=name) for k, name in enumerate(classes[: shape.categories])]
    height, width = shape.size
    videos: list[dict] = []
    tracks: list[str] = []
    images: list[dict] = []
    masks: list[str] = []
    for video in range(1, shape.videos + 1):
        length = int(rng.integers(shape.frames[0], shape.frames[1] + 1))
        names = [f'{video:04d}/{frame:05d}.jpg' for frame in range(length)]
        videos.append(dict(id=video, height=height, width=width, length=length, file_names=names))
        first = len(images) + 1
        images += [
            dict(id=first + i, file_name=name, height=height, width=width, video_id=video, frame_id=i)
            for i, name in enumerate(names)
        ]
        for _ in range(rng.integers(shape.objects[0], shape.objects[1] + 1)):
            number, label = len(tracks) + 1, int(rng.integers(1, len(categories) + 1))
            chosen = [pool[i] if i < POOL else None for i in rng.integers(0, POOL * 12 // 11, length)]
            head = f'"video_id": {video}, "category_id": {label}, "iscrowd": 0'
            lists = (', '.join(m[part] if m else 'null' for m in chosen) for part in range(3))
            text = '"segmentations": [{}], "bboxes": [{}], "areas": [{}]'.format(*lists)
            tracks.append(f'{{"id": {number}, {head}, {text}}}')
            for frame, mask in enumerate(chosen):
                if mask:
                    text = '"segmentation": {}, "bbox": {}, "area": {}'.format(*mask)
                    ids = f'"id": {len(masks) + 1}, "image_id": {first + frame}, "instance_id": {number}'
                    masks.append(f'{{{ids}, {head}, {text}}}')
    _write(folder / 'ytvis.json', dict(videos=videos, categories=categories), tracks)
    by_frame = [dict(id=v['id'], name=f'{v["id"]:04d}', height=height, width=width) for v in videos]
    _write(folder / 'frames.json', dict(videos=by_frame, images=images, categories=categories), masks)
    return dict(videos=len(videos), frames=len(images), objects=len(tracks), masks=len(masks))


def _write(path: Path, content: dict, annotations: list[str]) -> None:
    text = json.dumps(content).removesuffix('}')
    path.write_text(f'{text}, "annotations": [{", ".join(annotations)}]}}', encoding='ascii')


def _mask(rng: np.random.Generator, size: tuple[int, int], kind: str) -> tuple[str, str, str]:
    """A mask, its box and its area as JSON: an object with an uneven outline, small or large."""
    height, width = size
    angles = np.linspace(0, 2 * np.pi, POINTS, endpoint=False)
    wave = 1 + 0.2 * np.sin(3 * angles + rng.uniform(0, 6)) + 0.1 * np.sin(11 * angles + rng.uniform(0, 6))
    radius, centre = rng.uniform(0.05, 0.35) * height, rng.uniform(0.3, 0.7, 2) * (width, height)
    x, y = radius * wave * np.stack([np.cos(angles), np.sin(angles)]) + centre[:, None]
    points = np.stack([x.clip(0, width - 1), y.clip(0, height - 1)], 1).round(1)
    polygons = [points.flatten().tolist()]
    rle = mask_api.merge(mask_api.frPyObjects(polygons, height, width))
    forms = {
        KINDS[0]: lambda: polygons,
        KINDS[1]: lambda: dict(size=[height, width], counts=_runs(mask_api.decode(rle))),
        KINDS[2]: lambda: dict(size=[height, width], counts=rle['counts'].decode('ascii')),
    }
    parts = forms[kind](), mask_api.toBbox(rle).tolist(), int(mask_api.area(rle))
    return tuple(map(json.dumps, parts))  # type: ignore[return-value]


def _runs(mask: np.ndarray) -> list[int]:
    """The run lengths of an (H, W) mask of 0 and 1, down the columns, the first of 0."""
    flat = np.concatenate([[0], mask.T.reshape(-1)])
    borders = np.flatnonzero(np.diff(flat))
    return np.diff([0, *borders, mask.size]).tolist()
