"""Small things that several tests share."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
from pycocotools import mask as mask_api

CATEGORIES = ('square', 'wide', 'tall')
COLOURS = ((60, 60, 220), (60, 220, 60), (220, 60, 60))
SIZES = ((14, 14), (10, 20), (20, 10))  # (height, width)


def write_tiny_ytvis(
    root: str | Path,
    videos: int = 3,
    frames: int = 6,
    size: tuple[int, int] = (48, 64),
    seed: int = 0,
    num_categories: int = 3,
) -> Path:
    """Write a set of moving rectangles in the YouTube-VIS format: train and val.

    Each video has one or two objects; the first is absent from one frame. Annotated as YouTube-VIS is, with
    category ids that begin at 1 and leave one out (1, 2, 4).

    Args:
        root: gets ``train/JPEGImages``, ``val/JPEGImages`` and ``annotations/{train,val}.json``.
        videos: videos of each split.
        frames: frames of each video.
        size: (height, width) in pixels.
        seed: of positions, speeds and categories.
        num_categories: 1 to 3.

    Returns:
        ``root``.
    """
    root = Path(root)
    (root / 'annotations').mkdir(parents=True, exist_ok=True)
    for offset, split in enumerate(('train', 'val')):
        rng = np.random.default_rng((seed, offset))
        content = _split_content(root / split / 'JPEGImages', rng, videos, frames, size, num_categories)
        (root / 'annotations' / f'{split}.json').write_text(json.dumps(content))
    return root


def _split_content(folder: Path, rng, videos: int, frames: int, size, num_categories: int) -> dict:
    height, width = size
    ids = (1, 2, 4)[:num_categories]
    content = dict(
        info=dict(description='moving rectangles'),
        categories=[dict(id=i, name=name) for i, name in zip(ids, CATEGORIES, strict=False)],
        videos=[],
        annotations=[],
    )
    for v in range(videos):
        name = f'{v:04d}'
        images = rng.integers(90, 140, (frames, height, width, 3)).astype(np.uint8)
        for n in range(int(rng.integers(1, 3))):
            label = int(rng.integers(num_categories)) if v else n % num_categories
            masks = _moving_rectangle(rng, frames, size, SIZES[label], absent=frames // 2 if n == 0 else None)
            images[masks] = COLOURS[label]
            annotation = dict(id=len(content['annotations']) + 1, video_id=v + 1, category_id=ids[label])
            content['annotations'].append({**annotation, **_encode(masks)})
        files = [f'{name}/{t:05d}.jpg' for t in range(frames)]
        content['videos'].append(dict(id=v + 1, height=height, width=width, length=frames, file_names=files))
        (folder / name).mkdir(parents=True, exist_ok=True)
        for file, image in zip(files, images, strict=True):
            cv2.imwrite(str(folder / file), image)
    return content


def _moving_rectangle(rng, frames: int, size, box, absent: int | None) -> np.ndarray:
    """(frames, height, width) bool."""
    masks = np.zeros((frames, *size), dtype=bool)
    room = np.array(size) - box
    start, speed = rng.uniform(0, room), rng.uniform(-3, 3, 2)
    for t in range(frames):
        if t != absent:
            y, x = np.clip(start + t * speed, 0, room).astype(int)
            masks[t, y : y + box[0], x : x + box[1]] = True
    return masks


def _encode(masks: np.ndarray) -> dict:
    """Segmentations, boxes (x, y, w, h) and areas per frame; None where the object is absent."""
    rles = [mask_api.encode(np.asfortranarray(m.astype(np.uint8))) for m in masks]
    present = [bool(m.any()) for m in masks]
    return dict(
        iscrowd=0,
        segmentations=[
            dict(size=list(r['size']), counts=r['counts'].decode()) if p else None
            for r, p in zip(rles, present, strict=True)
        ],
        bboxes=[mask_api.toBbox(r).tolist() if p else None for r, p in zip(rles, present, strict=True)],
        areas=[int(mask_api.area(r)) if p else None for r, p in zip(rles, present, strict=True)],
    )
