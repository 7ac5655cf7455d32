"""Writing a set: pictures and YouTube-VIS annotations, by several processes, the same bytes every time."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from pycocotools import mask as mask_api

from maskprop.datasets.synthetic.rendering import Clip
from maskprop.utils.files import replace_when_done
from maskprop.utils.folder_lock import hold_folder

FORMAT_VERSION = 1
JPEG_QUALITY = 95
_UNFINISHED = '.unfinished_'  # folder of a set that is being made


class ClipSource(Protocol):
    """What `write_set` needs: a picklable maker of clips."""

    @property
    def categories(self) -> list[dict]: ...

    def describe(self) -> dict: ...

    def __call__(self, split: str, index: int) -> Clip: ...


def write_set(
    out: str | Path,
    source: ClipSource,
    counts: dict[str, int],
    workers: int = 2,
    overwrite: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
) -> bool:
    """Write OUT/annotations/<split>.json and OUT/JPEGImages/<split>_<index>/<frame>.jpg.

    All of it is made in a folder inside of OUT first, and takes the place of an old set when it is whole.

    Args:
        out: the set's folder.
        source: makes the clips.
        counts: split name -> number of videos; a split with 0 isn't written.
        workers: processes; 1 does everything in this one. The files don't depend on it.
        overwrite: replace splits that hold something else.
        progress: called as (split, videos done, videos in all).

    Returns:
        False if the folder already held exactly this set and nothing was done, else True.

    Raises:
        ValueError: no video asked for.
        FileExistsError: a split exists, made with other keys, and `overwrite` is off.
    """
    if min(counts.values()) < 0 or not any(counts.values()):
        raise ValueError(f'number of videos: expected one or more in all, none negative, found {counts}')
    out = Path(out)
    infos = {
        split: {
            'description': 'maskprop synthetic set',
            'version': FORMAT_VERSION,
            'split': split,
            'videos': count,
        }
        | source.describe()
        for split, count in counts.items()
        if count
    }
    if not _missing(out, infos):
        return False
    with hold_folder(out, _say_nothing, name='set.lock'):
        todo = _missing(out, infos)  # another process may have made it meanwhile
        for split in todo:
            _check_room(out, split, overwrite)
        for leftover in out.glob(f'{_UNFINISHED}*'):  # of processes that were killed
            shutil.rmtree(leftover)
        with tempfile.TemporaryDirectory(dir=out, prefix=_UNFINISHED) as unfinished:
            for split in todo:
                records = []
                for record in _clip_records(Path(unfinished), source, split, counts[split], workers):
                    records.append(record)
                    if progress:
                        progress(split, len(records), counts[split])
                content = json.dumps(_assemble(infos[split], source.categories, records))
                # not write_json, which indents: large files, and other bytes than the same set had before
                with replace_when_done(Path(unfinished) / f'{split}.json') as temporary:
                    temporary.write_text(content)
            _put_in_place(Path(unfinished), out, todo)
    return bool(todo)


def _missing(out: Path, infos: dict[str, dict]) -> list[str]:
    """The splits that are not there as they are wanted."""
    return [split for split, info in infos.items() if _stored_info(out, split) != json.loads(json.dumps(info))]


def _put_in_place(unfinished: Path, out: Path, splits: list[str]) -> None:
    """Exchange splits for those that were made beside them; all annotation files go first, and come last.

    So a kill leaves the old splits, the new ones, or some without annotation files, never a mixture.
    """
    annotations, pictures, old = out / 'annotations', out / 'JPEGImages', unfinished / 'old'
    for folder in (annotations, pictures, old):
        folder.mkdir(parents=True, exist_ok=True)
    for split in splits:
        (annotations / f'{split}.json').unlink(missing_ok=True)
    for split in splits:
        for folder in pictures.glob(f'{split}_[0-9]*'):
            os.replace(folder, old / folder.name)
        for folder in (unfinished / 'JPEGImages').glob(f'{split}_[0-9]*'):
            os.replace(folder, pictures / folder.name)
    for split in splits:
        os.replace(unfinished / f'{split}.json', annotations / f'{split}.json')


def _say_nothing(_: str) -> None:
    """Of a process that was killed there is nothing to say: what it left is made anew."""


def _stored_info(out: Path, split: str) -> dict | None:
    """What a finished split says of itself; the JSON is written last, so the pictures are there too."""
    try:
        return json.loads((out / 'annotations' / f'{split}.json').read_text())['info']
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _check_room(out: Path, split: str, overwrite: bool) -> None:
    annotation = out / 'annotations' / f'{split}.json'
    if annotation.exists() and not overwrite:
        raise FileExistsError(
            f'{annotation} exists and was made with other keys or by another tool; '
            'pass --overwrite, or give another folder'
        )


def _clip_records(out: Path, source: ClipSource, split: str, count: int, workers: int) -> Iterator[dict]:
    jobs = [(str(out), source, split, index) for index in range(count)]
    if workers <= 1 or count == 1:
        yield from map(_make_clip, jobs)
        return
    # Spawned, not forked: the caller may have started threads (OpenCV, torch) that a fork would not survive.
    context = multiprocessing.get_context('spawn')
    with ProcessPoolExecutor(
        min(workers, count), mp_context=context, initializer=cv2.setNumThreads, initargs=(1,)
    ) as pool:
        yield from pool.map(_make_clip, jobs, chunksize=4)


def _make_clip(job: tuple[str, ClipSource, str, int]) -> dict:
    """Draw one clip, write its pictures, and return what the JSON says of it."""
    out, source, split, index = job
    clip = source(split, index)
    name = f'{split}_{index:05d}'
    folder = Path(out) / 'JPEGImages' / name
    folder.mkdir(parents=True, exist_ok=True)
    for number, frame in enumerate(clip.frames):
        if not cv2.imwrite(str(folder / f'{number:05d}.jpg'), frame, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]):
            raise OSError(f'cannot write {folder / f"{number:05d}.jpg"} (is the disk full?)')
    height, width = clip.frames[0].shape[:2]
    shape = {'height': height, 'width': width, 'length': len(clip.frames)}
    video = {
        **shape,
        'file_names': [f'{name}/{number:05d}.jpg' for number in range(len(clip.frames))],
        'blur': clip.blur,
        **clip.extra,
    }
    annotations = [
        {'category_id': category, 'iscrowd': 0, **shape, **encode_track(masks), 'visibility': visibility}
        for category, masks, visibility in zip(clip.category_ids, clip.masks, clip.visibility, strict=True)
    ]
    return {'video': video, 'annotations': annotations}


def encode_track(masks: list[np.ndarray | None]) -> dict:
    """YouTube-VIS lists of one instance: `segmentations` (compressed RLE), `bboxes` (x, y, w, h) and `areas`
    (pixels), one entry per frame, None where the mask is None.

    Args:
        masks: bool (H, W) arrays.
    """
    track: dict[str, list] = {'segmentations': [], 'bboxes': [], 'areas': []}
    for mask in masks:
        if mask is None:
            for values in track.values():
                values.append(None)
            continue
        rle = mask_api.encode(np.asfortranarray(mask, dtype=np.uint8))
        track['bboxes'].append([float(v) for v in mask_api.toBbox(rle)])
        track['areas'].append(int(mask_api.area(rle)))
        track['segmentations'].append(
            {'size': [int(v) for v in rle['size']], 'counts': rle['counts'].decode('ascii')}
        )
    return track


def _assemble(info: dict, categories: list[dict], records: list[dict]) -> dict:
    videos: list[dict] = []
    annotations: list[dict] = []
    for video_id, record in enumerate(records, start=1):
        videos.append({'id': video_id, **record['video']})
        for annotation in record['annotations']:
            annotations.append({'id': len(annotations) + 1, 'video_id': video_id, **annotation})
    return {'info': info, 'videos': videos, 'annotations': annotations, 'categories': categories}
