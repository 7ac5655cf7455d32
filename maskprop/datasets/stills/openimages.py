"""OpenImages' CSV files and mask pictures as YouTube-VIS files of videos of one frame: docs/stills.md."""

from __future__ import annotations

import itertools
import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from maskprop.datasets.stills.class_map import ClassMap, read_hierarchy, unmapped_children
from maskprop.datasets.stills.openimages_images import Folders, ImageBoxes, StillBuilder
from maskprop.datasets.stills.openimages_tables import (
    FLAGS,
    BoxTable,
    read_boxes,
    read_masks,
    read_names,
    read_turned,
    read_verified_absent,
)
from maskprop.datasets.stills.records import Options, Report, Still, StillWriter, choose_images, open_writer
from maskprop.datasets.stills.verified import Verification
from maskprop.datasets.ytvis_json import AnnotationError

_BATCH = 2000  # images that are in work at once


@dataclass(frozen=True)
class OpenImagesFiles:
    """The files of one split; only boxes and images are needed.

    Attributes:
        boxes: ``*-annotations-bbox.csv``.
        images: folder of ``ID.jpg``, or of folders of them.
        masks: ``*-annotations-object-segmentation.csv``; ``mask_folder`` has its PNGs, or folders of them.
        labels: ``*-annotations-human-imagelabels-boxable.csv``.
        hierarchy: ``bbox_labels_600_hierarchy.json``.
        names: ``class-descriptions-boxable.csv``.
        rotation: ``*-images-with-rotation.csv``.
    """

    boxes: Path
    images: Path
    masks: Path | None = None
    mask_folder: Path | None = None
    labels: Path | None = None
    hierarchy: Path | None = None
    names: Path | None = None
    rotation: Path | None = None


def convert_openimages(
    files: OpenImagesFiles,
    out: str | Path,
    class_map: ClassMap,
    options: Options | None = None,
    progress: Callable[[int, int], None] | None = None,
    rows_read: Callable[[int], None] | None = None,
) -> Report:
    """Writes a split of OpenImages as a YouTube-VIS file whose videos have one frame.

    Args:
        files: of the split.
        out: the file that is written.
        class_map: from MIDs.
        progress: called with the images done and their number. rows_read: with the rows of boxes read.

    Raises:
        AnnotationError: a file can't be used, masks are asked for and none is found, or no image is left.
    """
    options = options or Options()
    if (files.masks is None) != (files.mask_folder is None):
        raise AnnotationError('masks: give both the segmentation CSV and the folder of its PNGs, or neither')
    report = Report(class_map)
    ancestors = read_hierarchy(files.hierarchy) if files.hierarchy else {}
    names = read_names(files.names) if files.names else {}
    _note_classes(report, class_map, ancestors, names)
    table = read_boxes(files.boxes, class_map.classes, options.keep_empty, rows_read)
    chosen = _choose(table, class_map, options, report)
    places = {table.images[place]: place for place in chosen}
    verification = Verification(class_map, ancestors, options.unmapped != 'background')
    absent = read_verified_absent(files.labels, places, verification.wanted) if files.labels else {}
    turned = read_turned(files.rotation, places) if files.rotation else set()
    taken = {str(key) for key, entry in class_map.classes.items() if entry.use != 'leave_out'}
    masks = read_masks(files.masks, places, taken) if files.masks else {}
    if not files.labels:
        report.notes.append('no file of verified labels: every class that an image has no box of is unknown in it')

    def jobs() -> Iterator[ImageBoxes]:
        for place in chosen:
            rows = table.rows(place)
            shown = {table.keys[number] for number in table.key[rows].tolist()}
            yield ImageBoxes(
                table.images[place],
                [table.keys[number] for number in table.key[rows].tolist()],
                table.corners[rows],
                table.flags[rows],
                masks.pop(place, []),
                *verification.judge(shown, absent.get(place, 0)),
                turned=place in turned,
            )

    folders = Folders(files.images), Folders(files.mask_folder) if files.mask_folder else None
    builder = StillBuilder(class_map, options, *folders)
    with open_writer(
        out, report, dict(description='still images as videos of one frame', source='OpenImages')
    ) as w:
        _write(jobs(), len(chosen), builder, options.workers, w, progress)
        _check_found(report, files)
    return report


def _choose(table: BoxTable, class_map: ClassMap, options: Options, report: Report) -> list[int]:
    """Places of the images that are used."""
    ids = class_map.category_ids
    entries = [class_map.classes[key] for key in table.keys]
    category = [ids[entry.target] if entry.use == 'take' else 0 for entry in entries]
    skip = sum(1 << bit for bit, flag in enumerate(FLAGS) if _use_of(flag, options) != 'take')
    classes: list[set[int]] = []
    seen: list[bool] = []
    for place in range(len(table.images)):
        rows = table.rows(place)
        pairs = zip(table.key[rows].tolist(), table.flags[rows].tolist(), strict=True)
        found = {category[key] for key, flags in pairs if entries[key].use == 'take' and not flags & skip}
        classes.append(found)
        seen.append(bool(found) or options.keep_empty)
    candidates = [place for place, good in enumerate(seen) if good]
    report.dropped_images['no object of the classes'] += len(table.images) - len(candidates)
    used = choose_images([classes[place] for place in candidates], options.max_images_per_class, options.seed)
    chosen = [place for place, good in zip(candidates, used, strict=True) if good]
    if len(chosen) < len(candidates):
        report.dropped_images['its classes have enough images'] += len(candidates) - len(chosen)
    report.dropped_images += Counter()  # without zeros
    if not chosen:
        raise AnnotationError('boxes: none of a class of the map; see --target, --map and --use')
    return chosen


def _use_of(flag: str, options: Options) -> str:
    uses = dict(
        IsGroupOf=options.groups,
        IsDepiction=options.depictions,
        IsInside=options.insides,
        machine=options.machine_boxes,
    )
    return uses[flag]


def _note_classes(report: Report, class_map: ClassMap, ancestors: dict, names: dict[str, str]) -> None:
    if names:
        lacking = [f'{e.name} {key}' for key, e in class_map.classes.items() if e.to and key not in names]
        if lacking:
            report.notes.append(f'not among the class descriptions: {", ".join(lacking)}')
    children = unmapped_children(class_map, ancestors)
    if children:
        shown = ', '.join(f'{names.get(mid, mid)} (of {parent})' for mid, parent in sorted(children.items()))
        report.notes.append(f'children of mapped classes that the map leaves out: {shown}')


def _write(
    jobs: Iterator[ImageBoxes],
    number: int,
    builder: Callable[[ImageBoxes], Still],
    workers: int,
    writer: StillWriter,
    progress: Callable[[int, int], None] | None,
) -> None:
    pool = multiprocessing.Pool(workers) if workers > 1 else None
    done = 0
    try:
        while batch := list(itertools.islice(jobs, _BATCH)):
            for still in pool.imap(builder, batch, chunksize=16) if pool else map(builder, batch):
                writer.add(still)
            done += len(batch)
            if progress:
                progress(done, number)
    finally:
        if pool:
            pool.terminate()


def _check_found(report: Report, files: OpenImagesFiles) -> None:
    missing = report.dropped_images['no picture of it']
    if missing and not report.images and not report.dropped_images.total() > missing:
        raise AnnotationError(f'{files.images}: none of the {missing} pictures is there; expected ID.jpg')
    found = sum(kinds['mask'] for kinds in report.per_class.values())
    if files.masks and not found and report.counts['masks without a PNG, boxes only']:
        raise AnnotationError(f'{files.mask_folder}: none of the masks of {files.masks} is there')
