"""The rules of the YouTube-VIS format: every problem of a parsed annotation file, each as a :class:`Problem`.

``docs/data.md`` lists the rules by name.
"""

from __future__ import annotations

import posixpath
import reprlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np

from maskprop.datasets.image_folders import image_size, is_whole_image, largest_of_16_bits, natural_key
from maskprop.datasets.rle import is_absent
from maskprop.datasets.sound_masks import MaskReader, ObjectMasks, as_numbers
from maskprop.utils.files import is_file
from maskprop.utils.json_values import LARGEST_ID, MAX_PIXELS, is_finite_number

DARK_16_BIT = 2**14  # 16-bit frames that hold up to 14 bits: less than a quarter of the range, nearly black
LEAST_SPARSE = 3  # so many frames in equal steps are a pattern
_AS_LISTED = 'is it meant so? Frames are taken in the order of the list'
PER_FRAME_FIELDS = ('segmentations', 'bboxes', 'areas')


@dataclass(frozen=True)
class Problem:
    """One problem of an annotation file.

    Attributes:
        file: The file.
        record: The record, by kind and id ('annotation 17'), or '' for the file itself.
        field: The field, with the frame where it has one ('segmentations[3]'), or ''.
        found: What was found.
        fix: What to do.
        rule: Name of the broken rule, as in docs/data.md.
        severity: 'error': the file is not used; 'warning': it is, as `fix` says.
    """

    file: str
    record: str
    field: str
    found: str
    fix: str
    rule: str
    severity: Literal['error', 'warning'] = 'error'

    def __str__(self) -> str:
        where = ', '.join(part for part in (self.record, self.field) if part)
        return f'{self.file}: {where + ": " if where else ""}{self.found}; {self.fix}'


class _Checker:
    """Walks one parsed file and collects its problems."""

    def __init__(self, file: str, check_areas: bool, for_training: bool) -> None:
        self.file = file
        self.check_areas = check_areas
        self.for_training = for_training
        self.problems: list[Problem] = []
        self.videos: dict[int, tuple[int, int, int]] = {}  # id -> (length, height, width) of the sound ones
        self.owners: dict[str, int] = {}  # by frame: the first video that lists it
        self.video_ids: set[int] = set()
        self.category_ids: set[int] = set()
        self.masked_frames: dict[int, set[int]] = {}  # by video: frames in which an object has a mask
        self.listed_categories: set[int] = set()  # known before the videos are checked, which come first

    def add(self, rule: str, record: str, field: str, found: str, fix: str, warn: bool = False) -> None:
        severity: Literal['error', 'warning'] = 'warning' if warn else 'error'
        self.problems.append(Problem(self.file, record, field, found, fix, rule, severity))

    def run(self, data: Any) -> None:
        if not isinstance(data, dict):
            hint = 'a list is a results file' if isinstance(data, list) else 'see docs/data.md'
            found = f'a {type(data).__name__} at the top'
            self.add('top-level', '', '', found, f'expected {{"videos", "annotations", "categories"}}; {hint}')
            return
        for key in ('videos', 'categories'):
            if not isinstance(data.get(key), list) or not data[key]:
                found = _show(data[key]) if key in data else f'missing (found {sorted(map(str, data))})'
                self.add('top-level', '', key, found, f'expected a non-empty list of {key}')
        annotations = data.get('annotations')
        if annotations is not None and not isinstance(annotations, list):
            self.add('top-level', '', 'annotations', _show(annotations), 'expected a list, or null for none')
        listed = data['categories'] if isinstance(data.get('categories'), list) else []
        self.listed_categories = {c['id'] for c in listed if isinstance(c, dict) and _is_id(c.get('id'))}
        self.video_ids = self._records(data, 'videos', 'video', self._check_video)
        self.category_ids = self._records(data, 'categories', 'category', self._check_category)
        self.reader = MaskReader(_count_masks(annotations), self.for_training)
        self._records(data, 'annotations', 'annotation', self._check_annotation)
        self._check_category_names(data)
        self._check_sparse()

    def _records(self, data: dict, key: str, kind: str, check: Callable[[dict, str], None]) -> set[int]:
        """Checks every record of a list and its id; the ids seen."""
        records = data.get(key)
        seen: set[int] = set()
        for place, record in enumerate(records if isinstance(records, list) else []):
            if not isinstance(record, dict):
                self.add('record', f'{kind} at place {place}', '', _show(record), 'expected an object')
                continue
            number: Any = record.get('id')
            if not _is_id(number):
                name = f'{kind} at place {place}'
                found = _show(number) if 'id' in record else 'missing'
                self.add('id', name, 'id', found, f'expected an integer from 0 to {LARGEST_ID}')
            else:
                name = f'{kind} {number}'
                if number in seen:
                    self.add('duplicate-id', name, 'id', f'a second {kind} of this id', 'give each its own')
                seen.add(number)
            check(record, name)
        return seen

    def _check_video(self, video: dict, name: str) -> None:
        sound = True
        for side in ('width', 'height'):
            if not _is_int(video.get(side)) or video[side] < 1:
                self.add('video-size', name, side, _show(video.get(side)), 'expected its size in pixels')
                sound = False
        if sound and video['height'] * video['width'] > MAX_PIXELS:
            found = f'frames of {_show(video["height"])} x {_show(video["width"])}'
            self.add('video-size', name, 'height', found, f'expected at most {MAX_PIXELS} pixels a frame')
            sound = False
        names: Any = video.get('file_names')
        if not isinstance(names, list) or {*map(type, names)} != {str} or '' in names:
            self.add('file-names', name, 'file_names', _show(names), 'expected a list of the names of its frames')
            sound = False
        elif video.get('length') is not None and (not _is_int(video['length']) or video['length'] != len(names)):
            found = f'{_show(video["length"])}, but file_names has {len(names)} entries'
            self.add('video-length', name, 'length', found, 'make them agree')
            sound = False
        if sound and _is_id(video.get('id')):
            self.videos[video['id']] = len(names), video['height'], video['width']
            self._check_order(names, name)
            self._check_backslashes(names, name)
            self._check_shared(names, name, video['id'])
        self._check_unknown(video, name)

    def _check_order(self, names: list[str], name: str) -> None:
        """Frames that are listed twice, or not in the order of their numbers, as an unsorted listing has them."""
        if len(set(names)) < len(names):
            twice, times = Counter(names).most_common(1)[0]
            self.add('frame-twice', name, 'file_names', f'{twice!r} {times} times', _AS_LISTED, warn=True)
        if len(set(map(len, names))) == 1 and all(before <= after for before, after in pairwise(names)):
            return  # nearly always: numbers of one length
        keys = [natural_key(Path(file)) for file in names]
        for place, (before, after) in enumerate(pairwise(keys)):
            if before > after:
                found = f'{names[place + 1]!r} comes after {names[place]!r}'
                self.add('frame-order', name, f'file_names[{place + 1}]', found, _AS_LISTED, warn=True)
                return

    def _check_backslashes(self, names: list[str], name: str) -> None:
        place = next((n for n, file in enumerate(names) if '\\' in file), None)
        if place is not None:
            found, fix = (
                f'{names[place]!r} has backslashes',
                'they are taken as folders, as of Windows; write slashes',
            )
            self.add('backslashes', name, f'file_names[{place}]', found, fix, warn=True)

    def _check_shared(self, names: list[str], name: str, video_id: int) -> None:
        """Frames that another video lists too, which must not be in train and in val."""
        shared = [file for file in names if self.owners.setdefault(frame_key(file), video_id) != video_id]
        if shared:
            owner = self.owners[frame_key(shared[0])]
            found = f'{len(shared)} of its {len(names)} frames are in video {owner} too'
            fix = (
                f'the first is {shared[0]!r}; keep them in one part of a split, as maskprop split does, or it is '
                'validated on what it saw'
            )
            self.add('frames-shared', name, 'file_names', found, fix, warn=True)

    def _check_unknown(self, video: dict, name: str) -> None:
        unknown = video.get('unknown_categories')
        known = self.listed_categories
        if unknown is not None and not (
            isinstance(unknown, list) and all(_is_id(i) and i in known for i in unknown)
        ):
            fix = 'expected a list of ids of categories, or leave it out'
            self.add('unknown-categories', name, 'unknown_categories', _show(unknown), fix)

    def _check_category(self, category: dict, name: str) -> None:
        found: Any = category.get('name')
        if found is None:
            self.add('category-name', name, 'name', 'missing', 'its id is taken as its name', warn=True)
        elif not isinstance(found, str) or not found.strip():
            self.add('category-name', name, 'name', _show(found), 'expected a non-empty string')

    def _check_category_names(self, data: dict) -> None:
        categories = data.get('categories')
        names = [c.get('name') for c in categories if isinstance(c, dict)] if isinstance(categories, list) else []
        for name, times in sorted(Counter(n for n in names if isinstance(n, str)).items()):
            if times == 1:
                continue
            found = f'the name {name!r} {times} times'
            self.add('category-name', 'categories', 'name', found, 'rename one, tables show names', warn=True)

    def _check_annotation(self, annotation: dict, name: str) -> None:
        if annotation.get('id') == 0 and _is_id(annotation.get('id')):
            self.add('id-zero', name, 'id', '0', 'number from 1: video AP refuses id 0 (training not)', warn=True)
        for field, known, rule in (
            ('video_id', self.video_ids, 'unknown-video'),
            ('category_id', self.category_ids, 'unknown-category'),
        ):
            number = annotation.get(field)
            if not _is_id(number) or number not in known:
                list_name = 'videos' if field == 'video_id' else 'categories'
                self.add(rule, name, field, _show(number), f'expected the id of an entry of {list_name}')
        crowd = annotation.get('iscrowd')
        if crowd is None:
            fix = 'write 0 or 1: video AP refuses the file (training takes it as 0)'
            self.add('iscrowd', name, 'iscrowd', 'missing', fix, warn=True)
        elif crowd not in (0, 1):
            self.add('iscrowd', name, 'iscrowd', _show(crowd), 'expected 0 or 1')
        video_id = annotation.get('video_id')
        if _is_id(video_id) and video_id in self.videos:
            self._check_tracks(annotation, name, *self.videos[video_id])

    def _check_tracks(self, annotation: dict, name: str, length: int, height: int, width: int) -> None:
        """The lists with one entry a frame."""
        lists: dict[str, Sequence[Any]] = {}
        for field in PER_FRAME_FIELDS:
            values = annotation.get(field)
            if values is None and field != 'segmentations':
                continue
            if isinstance(values, list) and len(values) == length:
                lists[field] = values
            else:
                found = f'{len(values)} entries' if isinstance(values, list) else _show(values)
                fix = f'expected one entry for each of the {length} frames of its video'
                self.add('list-length', name, field, found, fix)
        if annotation.get('areas') is None:
            fix = 'write the area of every mask: video AP refuses the file (training does not use areas)'
            self.add('areas', name, 'areas', 'missing', fix, warn=True)
        if 'segmentations' not in lists:
            return
        if annotation.get('box_only'):
            self._check_box_only(annotation, name, lists)
            return
        faults, read = self.reader.read(lists['segmentations'], height, width)
        masked = [i for i, mask in enumerate(read.masks) if mask is not None]
        self.masked_frames.setdefault(annotation['video_id'], set()).update(masked)
        for fault in faults:
            self.add(fault.rule, name, f'segmentations[{fault.frame}]', fault.found, fault.fix)
        self._check_empty(name, lists['segmentations'], read)
        if 'bboxes' in lists and not _are_sound_boxes(lists['bboxes'], read.masks):
            self._check_boxes(name, lists['bboxes'], lists['segmentations'], read.areas)
        if 'areas' in lists:
            self._check_areas(name, lists['areas'], read)
        if self.for_training:
            annotation.update(segmentations=read.masks, visible=read.visible.tolist())

    def _check_sparse(self) -> None:
        """Masks in every k-th frame only look like frames that nobody annotated, not like objects that blink."""
        for video_id, frames in self.masked_frames.items():
            kept = sorted(frames)
            steps = {after - before for before, after in pairwise(kept)}
            if len(kept) < LEAST_SPARSE or len(steps) > 1 or steps == {1}:
                continue
            step, length = steps.pop(), self.videos[video_id][0]
            found = (
                f'masks in {len(kept)} of {length} frames, one in {step}, the first {kept[0]}, and null in others'
            )
            fix = 'null says that nothing is visible; list annotated frames only (--unannotated skip in an import)'
            self.add('sparse-frames', f'video {video_id}', 'segmentations', found, fix, warn=True)

    def _check_empty(self, name: str, masks: Sequence[Any], read: ObjectMasks) -> None:
        if masks.count(None) == read.masks.count(None) and not (read.areas == 0).any():
            return
        empty = [i for i, mask in enumerate(masks) if (mask is not None and is_absent(mask)) or read.areas[i] == 0]
        if empty:
            found = f'a mask without a pixel in {len(empty)} frames, the first {empty[0]}'
            fix = 'write null where the object is not visible (taken as null)'
            self.add('mask-empty', name, f'segmentations[{empty[0]}]', found, fix, warn=True)

    def _check_box_only(self, annotation: dict, name: str, lists: dict[str, Sequence[Any]]) -> None:
        """An object whose masks nobody drew: boxes say where it is, and all masks are null."""
        if annotation['box_only'] is not True:
            self.add('box-only', name, 'box_only', _show(annotation['box_only']), 'expected true or false')
        masked = [i for i, mask in enumerate(lists['segmentations']) if not is_absent(mask)]
        if masked:
            fix = 'write null, or leave box_only out'
            self.add('box-only', name, f'segmentations[{masked[0]}]', 'a mask of a box_only object', fix)
            return
        boxes = lists.get('bboxes', ())
        if all(is_absent(box) for box in boxes):
            self.add('box-only', name, 'bboxes', 'no box of a box_only object', 'write its boxes, or leave it out')
        for frame, box in enumerate(boxes):
            if not is_absent(box):
                self._check_box(name, f'bboxes[{frame}]', box)

    def _check_box(self, name: str, field: str, box: Any) -> bool:
        """Whether a box is sound."""
        if not (isinstance(box, list) and len(box) == 4 and all(is_finite_number(x) for x in box)):
            self.add('box', name, field, _show(box), 'expected [x, y, width, height], finite, or null')
        elif min(box[2:]) < 0:
            self.add('box', name, field, f'{box}, a negative size', 'expected [x, y, width, height] in pixels')
        else:
            return True
        return False

    def _check_boxes(self, name: str, boxes: Sequence[Any], masks: Sequence[Any], areas: np.ndarray) -> None:
        without_box: list[int] = []
        for frame, (box, mask) in enumerate(zip(boxes, masks, strict=True)):
            field = f'bboxes[{frame}]'
            if is_absent(box):
                if not is_absent(mask) and areas[frame] != 0:
                    without_box.append(frame)
            elif self._check_box(name, field, box) and is_absent(mask) and min(box[2:]) > 0:
                fix = 'add the mask, write null for the box, or box_only: true where no frame has one'
                self.add('box-without-mask', name, field, f'{box}, but no mask in this frame', fix)
        if without_box:
            found = f'null beside a mask in {len(without_box)} frames, the first {without_box[0]}'
            fix = 'write the box of the mask (training takes it from the mask)'
            self.add('mask-without-box', name, f'bboxes[{without_box[0]}]', found, fix, warn=True)

    def _check_areas(self, name: str, given: Sequence[Any], read: ObjectMasks) -> None:
        numbers = as_numbers([[a for a in given if a is not None]])
        if numbers is not None and (not len(numbers) or (_is_finite(numbers) and numbers.min() >= 0)):
            bad = []
        else:
            bad = [i for i, a in enumerate(given) if a is not None and not (is_finite_number(a) and a >= 0)]
        for frame in bad:
            self.add('areas', name, f'areas[{frame}]', _show(given[frame]), 'expected a number of pixels, or null')
        if bad or not self.check_areas:
            return
        areas = np.where([mask is None for mask in read.masks], 0, read.areas)
        values = np.array([a or 0 for a in given], dtype=np.float64)
        off = np.flatnonzero(np.abs(values - areas) > np.maximum(1, 0.01 * areas))  # nan compares as equal
        if len(off):
            found = f'{given[off[0]]}, but the mask has {areas[off[0]]:.0f} pixels (so in {len(off)} frames)'
            fix = "write the masks' areas (video AP uses them as they are)"
            self.add('areas-differ', name, f'areas[{off[0]}]', found, fix, warn=True)


def check_data(data: Any, file: str, check_areas: bool = True, for_training: bool = False) -> list[Problem]:
    """Every problem of a parsed annotation file, in the order of its records.

    Args:
        data: What ``json.load`` gave.
        file: Name of the file, for the messages.
        check_areas: Also compare ``areas`` with the masks (warnings only).
        for_training: Change ``data`` where masks are without a fault: lists of runs become compressed RLE, and
            annotations get ``visible``, whether the mask of each frame has a pixel.
    """
    checker = _Checker(file, check_areas, for_training)
    checker.run(data)
    return checker.problems


def frame_key(name: str) -> str:
    """A frame's name in the form that all names of its file have: with slashes, without ``./`` and ``//``."""
    if '\\' in name or './' in name or '//' in name:  # few have it, and there are many names
        return posixpath.normpath(name.replace('\\', '/'))
    return name


def _count_masks(annotations: Any) -> int:
    records = annotations if isinstance(annotations, list) else []
    lists = (record.get('segmentations') for record in records if isinstance(record, dict))
    return sum(len(masks) for masks in lists if isinstance(masks, list))


def _are_sound_boxes(boxes: Sequence[Any], masks: Sequence[Any]) -> bool:
    """Whether there is a box for each mask, and surely none has a fault."""
    given = [box for box in boxes if box is not None]
    if not given:
        return not any(mask is not None for mask in masks)
    if set(map(type, given)) != {list} or set(map(len, given)) != {4}:
        return False
    numbers = as_numbers(given)
    if numbers is None or not (_is_finite(numbers) and numbers.reshape(-1, 4)[:, 2:].min() >= 0):
        return False
    return [box is None for box in boxes] == [mask is None for mask in masks]


def _is_finite(numbers: np.ndarray) -> bool:
    """Whether all are, of one at least."""
    return bool(numbers.min() > -np.inf and numbers.max() < np.inf)  # nan is neither


def check_images(data: dict, file: str, image_root: str | Path, decode: bool = False) -> Iterator[Problem]:
    """Frames that are missing, unreadable or of another size than their video.

    Args:
        data: A file without errors.
        file: Its name, for the messages.
        image_root: The folder that ``file_names`` are relative to.
        decode: Decode the whole picture, which finds files that are cut short; otherwise only headers are read.
    """
    for video in data['videos']:
        expected = video['width'], video['height']
        missing: list[str] = []
        largest: int | None = None  # value of the video's 16-bit frames
        for frame, image in enumerate(video['file_names']):
            path = Path(image_root) / image
            if not is_file(path):
                missing.append(image)
                continue
            size = image_size(path)
            if size == expected and decode:
                if not is_whole_image(path):
                    found = f'{path} is cut short or damaged, or of a kind that OpenCV does not read'
                    fix = 'unpack or download it again, or write it as JPEG or PNG'
                    yield Problem(
                        file, f'video {video["id"]}', f'file_names[{frame}]', found, fix, 'image-damaged'
                    )
                elif (value := largest_of_16_bits(path)) is not None:
                    largest = max(value, largest or 0)
            if size != expected:
                found = f'{path} is {"no image that can be read" if size is None else "{} x {}".format(*size)}'
                fix = f'expected width x height = {expected[0]} x {expected[1]}, as the video says'
                yield Problem(file, f'video {video["id"]}', f'file_names[{frame}]', found, fix, 'image-size')
        if largest is not None and largest < DARK_16_BIT:
            found = f'frames of 16 bits whose largest value is {largest}: training takes the upper 8 bits, of 256'
            fix = 'write them with 8 bits, scaled by the range that they use'
            yield Problem(file, f'video {video["id"]}', 'file_names', found, fix, 'image-16-bit', 'warning')
        if missing:
            found = f'{len(missing)} of the frames are not in {image_root}, the first: {missing[0]}'
            fix = 'give the folder that file_names are relative to, or unpack the images again'
            yield Problem(file, f'video {video["id"]}', 'file_names', found, fix, 'image-missing')


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_id(value: Any) -> bool:
    return _is_int(value) and 0 <= value <= LARGEST_ID


def _show(value: Any) -> str:
    return 'missing' if value is None else reprlib.repr(value)
