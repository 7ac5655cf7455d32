"""Detections of another model, read from a results file (MaskProp, Table 4)."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mmdet.registry import TASK_UTILS
from pycocotools import mask as coco_mask

from maskprop.datasets.listed_frames import FramePlace, ListedFrames
from maskprop.datasets.rle import compress, inspect_masks, is_absent
from maskprop.datasets.ytvis_json import frame_indices
from maskprop.evaluation.results_io import read_results
from maskprop.evaluation.validation import (
    fail,
    require,
    require_dict,
    require_id,
    require_list,
    require_number,
    shown,
)
from maskprop.tracking.image_ids import image_places

FORMATS = ('coco', 'ytvis')


class _Record(NamedTuple):
    """One detection as it was read; ``name`` says where, for messages."""

    name: str
    place: FramePlace
    label: int
    score: float
    box: Sequence[float] | None  # x, y, w, h
    mask: Any


class _Detection(NamedTuple):
    """One detection as it is kept; ``counts`` is compressed RLE."""

    box: tuple[float, float, float, float]  # x1, y1, x2, y2
    label: int
    score: float
    counts: str


@TASK_UTILS.register_module()
class FileDetections:
    """Frame-level detections from a results file, in place of a model's own detector.

    The file is read and checked once, here. A frame is found by its video and the end of its path, so the data set
    may use any frames of the videos (``frame_stride``, ``frame_range``).

    Args:
        file: the results, JSON, or a zip with a results.json.
        format: ``'coco'``: instance segmentations of single images, {``image_id``, ``category_id``, ``score``,
            ``segmentation``, ``bbox``}; without ``bbox`` that of the mask is taken. ``'ytvis'``: tracks of whole
            videos, {``video_id``, ``category_id``, ``score``, ``segmentations``}; a track is a detection in each
            of its frames, with the track's score.
        ann_file: annotation file of the videos; it says which frames and categories there are. Annotations may be
            missing.
        score_thr: detections must score more than this (Section 4.4, "Inference").
        image_ids: of ``'coco'``: ``'order'``: images are numbered from 1 over the videos in the order of
            ``ann_file``, all listed frames; or a COCO annotation file, whose ``images`` say what id each
            ``file_name`` has.
        frame_stride, frame_range: of ``'ytvis'``: the frames that the results are of, as in the data set that they
            were made on.

    Attributes:
        classes: names of the categories by class index; a model that is given these detections must have the same.

    Raises:
        ValueError: a key has an unknown value.
        AnnotationError: ``ann_file`` or the file of ``image_ids`` has errors.
        EvalInputError: ``file`` has errors; names the first record and field.
    """

    def __init__(
        self,
        file: str | Path,
        format: str,
        ann_file: str | Path,
        score_thr: float = 0.1,
        image_ids: str | Path = 'order',
        frame_stride: int = 1,
        frame_range: tuple[float, float] = (0.0, 1.0),
    ) -> None:
        if format not in FORMATS:
            raise ValueError(f'format={format!r} is unknown; choose one of {FORMATS}')
        frame_indices(1, frame_stride, frame_range)  # complains of bad values
        if format == 'coco' and (frame_stride != 1 or tuple(frame_range) != (0, 1)):
            raise ValueError("frame_stride and frame_range are of format='ytvis'; a COCO record names its frame")
        if format == 'ytvis' and image_ids != 'order':
            raise ValueError("image_ids is of format='coco'; YouTube-VIS results name their videos")
        self.file = str(file)
        self.score_thr = score_thr
        self._frames = ListedFrames(ann_file)
        self.classes = self._frames.classes
        self._labels = {number: label for label, number in enumerate(self._frames.category_ids)}
        self._known: set[FramePlace] | None = None  # frames that the file speaks of; None: all
        results = read_results(file)
        if not isinstance(results, list):
            fail(self.file, '', '', f'found {shown(results)}', f'Results of format {format!r} are a list')
        if format == 'coco':
            records = self._read_coco(results, image_ids)
        else:
            records = self._read_ytvis(results, frame_stride, frame_range)
        self._found = self._keep(records)

    def check_classes(self, classes: Sequence[str]) -> None:
        """Raise ValueError unless a data set has the same classes."""
        if list(self.classes) != list(classes):
            raise ValueError(
                f'model.detections: the classes of {self.file} are {list(self.classes)}, by its ann_file, but the '
                f'data set has {list(classes)}: give both the same annotation file'
            )

    def instances(self, meta: dict) -> list[dict]:
        """The detections of a frame, in the order of the file.

        Args:
            meta: ``video_id``, ``img_path`` and ``ori_shape`` (height, width).

        Returns:
            dicts of ``bbox`` (x1, y1, x2, y2 in pixels of the video), ``bbox_label`` (class index), ``score`` and
            ``mask`` (compressed RLE at the video's size).

        Raises:
            EvalInputError: the file cannot have detections of this frame.
        """
        place = self._find(meta)
        size = list(self._frames.sizes[place.video_id])
        return [
            dict(
                bbox=list(found.box),
                bbox_label=found.label,
                score=found.score,
                mask=dict(size=size, counts=found.counts),
            )
            for found in self._found.get(place, ())
        ]

    def _find(self, meta: dict) -> FramePlace:
        frames, path = self._frames, meta.get('img_path')
        video_id: Any = meta.get('video_id')
        if path is None:
            fix = 'Use a data set: frames that come as arrays or from a video file have no detections in a file'
            fail(self.file, '', '', 'a frame without img_path', fix)
        where = f'{path} (video {video_id})'
        place = frames.find(video_id, path)
        if place is None:
            found = f'{frames.ann_file} lists no such frame of this video'
            fail(self.file, where, '', found, "Give the data set's annotation file as ann_file")
        if self._known is not None and place not in self._known:
            fix = 'Detect on this frame too, or set frame_stride, frame_range or image_ids as the results need it'
            fail(self.file, where, '', f'frame {place.index} of its video is not among those of the results', fix)
        if tuple(meta['ori_shape'][:2]) != frames.sizes[video_id]:
            found = f'the image is {tuple(meta["ori_shape"][:2])}, but the video {frames.sizes[video_id]} (h, w)'
            fail(self.file, where, '', found, 'Correct width and height in the annotation file')
        return place

    # -- reading

    def _read_coco(self, results: list, image_ids: str | Path) -> list[_Record]:
        if image_ids == 'order':
            places = {number: [place] for number, place in enumerate(self._frames.places, 1)}
            known = f'{self._frames.ann_file} has frames 1 to {len(places)}'
            fix = 'Number all frames in the order of the file, or give a COCO annotation file as image_ids'
        else:
            places = image_places(image_ids, self._frames)
            known, fix = f'{image_ids} has no such image', 'Give the annotation file that the results are of'
            self._known = {place for found in places.values() for place in found}
        records, elsewhere = [], 0
        for number, result in enumerate(results):
            name = f'results[{number}]'
            require_dict(result, self.file, name)
            image_id = require_id(result, 'image_id', self.file, name)
            if image_id not in places:
                fail(self.file, name, 'image_id', f'found {image_id}, but {known}', fix)
            label, score = self._label_and_score(result, name)
            mask = require(result, 'segmentation', self.file, name, 'RLE or polygons, not boxes alone')
            box = self._box(result, name)
            elsewhere += not places[image_id]
            records += [_Record(name, place, label, score, box, mask) for place in places[image_id]]
        if elsewhere:
            warnings.warn(
                f'{self.file}: {elsewhere} detections are of images that {self._frames.ann_file} does not list; '
                'they are left out',
                stacklevel=3,
            )
        return records

    def _read_ytvis(self, results: list, stride: int, part: tuple[float, float]) -> list[_Record]:
        used = {v: frame_indices(n, stride, part) for v, n in self._frames.lengths.items()}
        self._known = {FramePlace(v, index) for v, indices in used.items() for index in indices}
        records = []
        for number, result in enumerate(results):
            name = f'results[{number}]'
            require_dict(result, self.file, name)
            video_id = require_id(result, 'video_id', self.file, name)
            name = f'{name} (video {video_id})'
            if video_id not in used:
                found = f'{self._frames.ann_file} has no such video'
                fail(self.file, name, 'video_id', found, 'Were these results made for another set?')
            label, score = self._label_and_score(result, name)
            masks = self._masks(result, name, used[video_id], video_id)
            for index, mask in zip(used[video_id], masks, strict=True):
                if not is_absent(mask):
                    place = FramePlace(video_id, index)
                    records.append(_Record(f'{name} frame {index}', place, label, score, None, mask))
        return records

    def _masks(self, result: dict, name: str, frames: range, video_id: int) -> Sequence:
        masks, listed = result.get('segmentations'), self._frames.lengths[video_id]
        if isinstance(masks, list) and len(masks) != len(frames) and len(masks) <= listed:
            found = f'{len(masks)} entries; expected one for each of {len(frames)} of the {listed} listed frames'
            fix = 'Set frame_stride and frame_range to those that the results were made with'
            fail(self.file, name, 'segmentations', found, fix)
        return require_list(result, 'segmentations', len(frames), self.file, name, video_id)

    def _label_and_score(self, result: dict, name: str) -> tuple[int, float]:
        category = require_id(result, 'category_id', self.file, name)
        if category not in self._labels:
            found = f'found {category}, but {self._frames.ann_file} has the categories {shown(list(self._labels))}'
            fail(self.file, name, 'category_id', found, "Map the detector's categories to those of the videos")
        score = require_number(result, 'score', self.file, name)
        if not 0 <= score <= 1:
            fail(self.file, name, 'score', f'found {score}', 'It must be from 0 to 1')
        return self._labels[category], score

    def _box(self, result: dict, name: str) -> list[float] | None:
        box = result.get('bbox')
        if box is None:
            return None
        if not isinstance(box, list | tuple) or len(box) != 4:
            fail(self.file, name, 'bbox', f'found {shown(box)}', 'It must be [x, y, width, height] in pixels')
        numbers = [require_number({'bbox': value}, 'bbox', self.file, name) for value in box]
        if min(numbers[2:]) < 0:
            fail(self.file, name, 'bbox', f'found {box}', 'It must be [x, y, width, height], not two corners')
        return numbers

    def _keep(self, records: list[_Record]) -> dict[FramePlace, list[_Detection]]:
        """Checks every mask, then keeps what scores enough."""
        by_video: dict[int, list[_Record]] = defaultdict(list)
        for record in records:
            by_video[record.place.video_id].append(record)
        kept: dict[FramePlace, list[_Detection]] = defaultdict(list)
        for video_id, group in by_video.items():
            height, width = self._frames.sizes[video_id]
            faults, _ = inspect_masks([record.mask for record in group], height, width)
            if faults:
                first, fix = faults[0], faults[0].fix
                fail(self.file, group[first.frame].name, 'segmentation', first.found, fix[0].upper() + fix[1:])
            for record in group:
                if record.score > self.score_thr:
                    kept[record.place].extend(_compact(record, height, width))
        return dict(kept)


def _compact(record: _Record, height: int, width: int) -> Iterator[_Detection]:
    """The detection as it is kept; nothing for an empty mask without a box."""
    empty = dict(counts=[height * width])
    rle = compress(empty if is_absent(record.mask) else record.mask, height, width)
    if record.box is None and coco_mask.area(rle) == 0:
        return
    x, y, w, h = coco_mask.toBbox(rle).tolist() if record.box is None else record.box
    yield _Detection((x, y, x + w, y + h), record.label, record.score, rle['counts'])
