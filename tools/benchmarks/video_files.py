"""A set of video files on disk, annotated for this project (YouTube-VIS JSON) and for mmdet (by frame)."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from pycocotools import mask as mask_api

from maskprop.utils.files import write_json

CLASSES = ('person', 'giant_panda', 'lizard')  # names that mmdet's data set knows
POINTS = 60  # of a polygon


def write_videos(
    root: Path, kind: str, videos: int, frames: int, instances: int, size: tuple[int, int] = (720, 1280)
) -> None:
    """Write ``JPEGImages``, ``ytvis.json`` (for this project) and ``frames.json`` (for mmdet) below ``root``.

    Args:
        root: gets the files.
        kind: of the masks, ``'rle'`` or ``'polygon'``.
        videos: their number.
        frames: of each video.
        instances: in each frame; they move.
        size: (height, width) in pixels.
    """
    categories = [dict(id=label + 1, name=name) for label, name in enumerate(CLASSES)]
    ytvis: dict = dict(videos=[], annotations=[], categories=categories)
    by_frame: dict = dict(videos=[], images=[], annotations=[], categories=categories)
    for video in range(1, videos + 1):
        rng = np.random.default_rng(video)
        names = [f'{video:04d}/{frame:05d}.jpg' for frame in range(frames)]
        (root / 'JPEGImages' / f'{video:04d}').mkdir(parents=True, exist_ok=True)
        ytvis['videos'].append(dict(id=video, height=size[0], width=size[1], length=frames, file_names=names))
        by_frame['videos'].append(dict(id=video, name=f'{video:04d}', height=size[0], width=size[1]))
        tracks = [_track(rng, video * 100 + row, frames, size, kind) for row in range(instances)]
        ytvis['annotations'] += [dict(track, video_id=video) for track in tracks]
        background = _texture(rng, size)
        for frame, name in enumerate(names):
            image = np.roll(background, 5 * frame, 1)
            for track in tracks:
                mask = decode(track['segmentations'][frame], *size).astype(bool)
                image[mask] = image[mask] // 2 + np.uint8(track['id'] * 37 % 128)
            cv2.imwrite(str(root / 'JPEGImages' / name), image, [cv2.IMWRITE_JPEG_QUALITY, 90])
            _add_frame(by_frame, name, video, frame, size, tracks)
    write_json(root / 'ytvis.json', ytvis)
    write_json(root / 'frames.json', by_frame)


def decode(mask: dict | list, height: int, width: int) -> np.ndarray:
    """(H, W) uint8 of 0 and 1, of compressed RLE or polygons."""
    return mask_api.decode(mask if isinstance(mask, dict) else _rle(mask, height, width))


def _rle(polygons: list, height: int, width: int) -> dict:
    return mask_api.merge(mask_api.frPyObjects(polygons, height, width))


def _texture(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """(H, W, 3) uint8 of coarse colours and some grain, which compresses like a photo."""
    coarse = rng.integers(40, 216, (size[0] // 40, size[1] // 40, 3)).astype(np.uint8)
    smooth = cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC).astype(np.int16)
    return np.clip(smooth + rng.normal(0, 8, smooth.shape), 0, 255).astype(np.uint8)


def _track(rng: np.random.Generator, number: int, frames: int, size: tuple[int, int], kind: str) -> dict:
    """An object with an uneven outline that moves, annotated in every frame."""
    height, width = size
    angles = np.linspace(0, 2 * np.pi, POINTS, endpoint=False)
    wave = 1 + 0.2 * np.sin(3 * angles + rng.uniform(0, 6)) + 0.1 * np.sin(11 * angles + rng.uniform(0, 6))
    radius, centre = rng.uniform(0.1, 0.25) * height, rng.uniform(0.3, 0.7, 2) * (width, height)
    speed = rng.uniform(-0.005, 0.005, 2) * width
    shape = radius * wave * np.stack([np.cos(angles), np.sin(angles)])  # [2, POINTS]
    track = dict(id=number, category_id=number % len(CLASSES) + 1, iscrowd=0, width=width, height=height)
    track.update(segmentations=[], bboxes=[], areas=[])
    for frame in range(frames):
        x, y = shape + (centre + frame * speed)[:, None]
        points = np.stack([x.clip(0, width - 1), y.clip(0, height - 1)], 1).round(1)
        polygons = [points.flatten().tolist()]
        rle = _rle(polygons, height, width)
        text = dict(size=[height, width], counts=rle['counts'].decode('ascii'))
        track['segmentations'].append(text if kind == 'rle' else polygons)
        track['bboxes'].append(mask_api.toBbox(rle).tolist())
        track['areas'].append(int(mask_api.area(rle)))
    return track


def _add_frame(
    content: dict, name: str, video: int, frame: int, size: tuple[int, int], tracks: list[dict]
) -> None:
    """One frame in the form that mmdet's converter gives."""
    image = len(content['images']) + 1
    content['images'].append(
        dict(id=image, file_name=name, height=size[0], width=size[1], video_id=video, frame_id=frame)
    )
    for track in tracks:
        content['annotations'].append(
            dict(
                id=len(content['annotations']) + 1,
                image_id=image,
                video_id=video,
                instance_id=track['id'],
                category_id=track['category_id'],
                segmentation=track['segmentations'][frame],
                bbox=track['bboxes'][frame],
                area=track['areas'][frame],
                iscrowd=0,
            )
        )
