"""What the converters of still images share: options, one image's record, the file that is written, the report."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np

from maskprop.datasets.stills.class_map import ClassMap
from maskprop.datasets.ytvis_json import AnnotationError
from maskprop.utils.files import replace_when_done


@dataclass(frozen=True)
class Options:
    """What is written of a set. Uses are 'take', 'ignore' (written as iscrowd) or 'leave_out'.

    Attributes:
        keep_empty: images without an object to learn are written, too.
        max_instances: images with more objects are left out (SeqFormer: 25); None: no limit.
        max_images_per_class: see :func:`choose_images`; None: all.
        seed: of that choice.
        unmapped: what target classes without a counterpart in the source are: 'background' or 'unknown'; None:
            background in COCO, whose images are searched for all its classes, unknown in OpenImages.
        only_verified: OpenImages: leave out images where a class shown is not verified as a whole.
        groups: OpenImages' IsGroupOf boxes ('take' is refused).
        depictions: IsDepiction boxes (a drawing, a toy). insides: IsInside boxes (taken from inside the object).
        machine_boxes: boxes that annotators only verified (Source 'activemil').
        turned: pictures with an EXIF orientation or in the rotation file: 'take' or 'leave_out'.
        workers: processes that read OpenImages' masks.
    """

    keep_empty: bool = False
    max_instances: int | None = None
    max_images_per_class: int | None = None
    seed: int = 0
    unmapped: str | None = None
    only_verified: bool = False
    groups: str = 'ignore'
    depictions: str = 'ignore'
    insides: str = 'ignore'
    machine_boxes: str = 'take'
    turned: str = 'leave_out'
    workers: int = 1


@dataclass
class Still:
    """One image: what becomes a video of one frame and its annotations.

    Attributes:
        file_name: relative to the folder of the images. width, height: in pixels, as the frame reader gives it.
        objects: dicts of ``category_id``, ``iscrowd``, ``segmentation`` (compressed RLE, or None for a box only),
            ``bbox`` (x, y, width, height in pixels) and ``area`` (pixels, or None).
        unknown: ids of the categories that may show unannotated.
        counts: what was found and left out, for the report.
        dropped: why the image is left out; None: it is written.
    """

    file_name: str
    width: int = 0
    height: int = 0
    objects: list[dict[str, Any]] = field(default_factory=list)
    unknown: list[int] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    dropped: str | None = None

    def add(
        self, category_id: int, box: Sequence[float], rle: dict | None, area: float | None, crowd: bool
    ) -> None:
        """One object; ``box`` is (x, y, width, height)."""
        record = dict(category_id=category_id, iscrowd=int(crowd), segmentation=rle, bbox=list(box), area=area)
        self.objects.append(record)

    def settle(self, options: Options) -> Still:
        """Itself, with ``dropped`` set where nothing is left to learn, or too much."""
        usable = sum(not record['iscrowd'] for record in self.objects)
        if not usable and not options.keep_empty:
            self.dropped = 'nothing but regions to ignore' if self.objects else 'no object of the classes'
        elif options.max_instances is not None and usable > options.max_instances:
            self.dropped = f'more than {options.max_instances} objects'
        return self


@dataclass
class Report:
    """Counts of a conversion; ``str`` is the text that is printed."""

    class_map: ClassMap
    images: int = 0
    per_class: dict[int, Counter[str]] = field(default_factory=dict)
    dropped_images: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)

    def count(self, still: Still) -> None:
        """Adds one image."""
        self.counts += still.counts
        if still.dropped is not None:
            self.dropped_images[still.dropped] += 1
            return
        self.images += 1
        for record in still.objects:
            kind = 'ignored' if record['iscrowd'] else 'mask' if record['segmentation'] else 'box only'
            self.per_class.setdefault(record['category_id'], Counter())[kind] += 1
        for number in still.unknown:
            self.per_class.setdefault(number, Counter())['unknown'] += 1

    def __str__(self) -> str:
        lines = [*self.class_map.notes, *self.notes, f'{self.images} images']
        kinds = ('mask', 'box only', 'ignored', 'unknown')
        lines.append(f'{"class":20}{"mask":>10}{"box only":>10}{"ignored":>10}{"images where unknown":>22}')
        total: Counter[str] = Counter()
        for category in self.class_map.categories:
            found = self.per_class.get(category['id'], Counter())
            total += Counter({kind: found[kind] for kind in kinds[:3]})
            numbers = ''.join(f'{found[kind]:>10}' for kind in kinds[:3])
            lines.append(f'{category["name"]:20}{numbers}{found["unknown"]:>22}')
        lines.append(f'{"all":20}' + ''.join(f'{total[kind]:>10}' for kind in kinds[:3]))
        lines += [f'images left out, {why}: {number}' for why, number in sorted(self.dropped_images.items())]
        lines += [f'{what}: {number}' for what, number in sorted(self.counts.items())]
        return '\n'.join(lines)


class StillWriter:
    """Writes images one after the other, so that no set need fit into memory."""

    def __init__(self, videos: IO[str], annotations: IO[str], report: Report) -> None:
        self.videos, self.annotations, self.report = videos, annotations, report
        self._video = self._annotation = 0

    def add(self, still: Still) -> None:
        """Writes one image, or counts why not."""
        self.report.count(still)
        if still.dropped is not None:
            return
        self._video += 1
        shape = dict(height=still.height, width=still.width, length=1)
        video: dict[str, Any] = dict(id=self._video, **shape, file_names=[still.file_name])
        if still.unknown:
            video['unknown_categories'] = still.unknown
        self._write(self.videos, video, self._video)
        for record in still.objects:
            self._annotation += 1
            mark = {} if record['segmentation'] else dict(box_only=True)
            annotation = dict(
                id=self._annotation,
                video_id=self._video,
                category_id=record['category_id'],
                iscrowd=record['iscrowd'],
                **shape,
                segmentations=[record['segmentation']],
                bboxes=[record['bbox']],
                areas=[record['area']],
                **mark,
            )
            self._write(self.annotations, annotation, self._annotation)

    @staticmethod
    def _write(file: IO[str], record: dict, number: int) -> None:
        file.write((',\n' if number > 1 else '\n') + json.dumps(record))


@contextlib.contextmanager
def open_writer(out: str | Path, report: Report, info: dict[str, Any]) -> Iterator[StillWriter]:
    """A writer of a YouTube-VIS file, which appears whole at the end or, after an error, not at all."""
    out = Path(out)
    with (
        replace_when_done(out) as temporary,
        open(temporary, 'w', encoding='utf-8') as videos,
        # the annotations, until all videos are written
        tempfile.TemporaryFile(mode='w+', encoding='utf-8', dir=out.parent) as annotations,
    ):
        categories = json.dumps(list(report.class_map.categories))
        videos.write(f'{{"info": {json.dumps(info)},\n"categories": {categories},\n"videos": [')
        yield StillWriter(videos, annotations, report)
        videos.write('\n],\n"annotations": [')
        annotations.seek(0)
        shutil.copyfileobj(annotations, videos)
        videos.write('\n]}\n')
        videos.close()
        if not report.images:
            raise AnnotationError(f'{out}: not written, as no image is left:', *str(report).split('\n'))


def choose_images(classes: Sequence[set[int] | frozenset[int]], most: int | None, seed: int) -> list[bool]:
    """Which images are used where a class should have ``most`` images.

    Images are drawn in random order; one is used if a class of it has fewer than ``most`` so far. So a class has
    more only through images that are used for a rarer one (a person on a horse).

    Args:
        classes: of each image; one without is used.
    """
    if most is None:
        return [True] * len(classes)
    used = [False] * len(classes)
    counts: Counter[int] = Counter()
    for place in np.random.default_rng(seed).permutation(len(classes)).tolist():
        if not classes[place] or any(counts[number] < most for number in classes[place]):
            used[place] = True
            counts.update(classes[place])
    return used


def clipped_box(corners: Sequence[float], width: int, height: int) -> list[float] | None:
    """(x, y, width, height) of the corners (x1, y1, x2, y2) inside the picture; None under a pixel's side."""
    x1, y1 = max(float(corners[0]), 0.0), max(float(corners[1]), 0.0)
    x2, y2 = min(float(corners[2]), float(width)), min(float(corners[3]), float(height))
    if x2 - x1 < 1 or y2 - y1 < 1:
        return None
    return [round(value, 3) for value in (x1, y1, x2 - x1, y2 - y1)]
