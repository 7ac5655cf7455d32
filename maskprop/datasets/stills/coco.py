"""COCO's instances_*.json, and files in its format, as YouTube-VIS files of videos of one frame."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pycocotools import mask as coco_mask

from maskprop.datasets.rle import compress, inspect_masks, is_absent
from maskprop.datasets.stills.class_map import ClassMap, SourceClass
from maskprop.datasets.stills.records import Options, Report, Still, choose_images, clipped_box, open_writer
from maskprop.datasets.ytvis_json import AnnotationError, read_json


def convert_coco(
    path: str | Path,
    out: str | Path,
    class_map: ClassMap,
    options: Options | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Writes a COCO file as a YouTube-VIS file whose videos have one frame.

    Polygons and RLE become compressed RLE, boxes and areas are those of the masks. Crowds stay ``iscrowd``; an
    annotation without a segmentation becomes ``box_only``.

    Args:
        path: the COCO file: ``images``, ``annotations``, ``categories``.
        out: the file that is written.
        class_map: classes are matched by name; by id where the map gives no name.
        progress: called with the images done and their number.

    Raises:
        AnnotationError: the file can't be used, none of the map's classes is in it, or no image is left.
    """
    options = options or Options()
    data = _read(path)
    report = Report(class_map)
    entries = _match(data['categories'], class_map, path, report)
    records = _by_image(data, path, entries)
    ids = class_map.category_ids
    usable = [{ids[entry.target] for a, entry in found if _is_usable(a, entry)} for found in records]
    chosen = choose_images(usable, options.max_images_per_class, options.seed)
    always = _without_source(class_map) if options.unmapped == 'unknown' else set()
    info = dict(description='still images as videos of one frame', source=str(Path(path).name))
    with open_writer(out, report, info) as writer:
        for place, image in enumerate(data['images']):
            found, records[place] = records[place], []
            if chosen[place]:
                writer.add(_convert(image, found, path, ids, always, options))
            else:
                writer.add(Still('', dropped='its classes have enough images'))
            if progress and (place + 1) % 1000 == 0:
                progress(place + 1, len(data['images']))
    return report


def _read(path: str | Path) -> dict[str, Any]:
    data = read_json(path)
    for key in ('images', 'annotations', 'categories'):
        if not isinstance(data, dict) or not isinstance(data.get(key), list):
            hint = '; this is a YouTube-VIS file already' if isinstance(data, dict) and 'videos' in data else ''
            raise AnnotationError(f'{path}: {key}: missing; expected a COCO file of images{hint}')
    for kind, needed in (('images', ('id', 'file_name', 'width', 'height')), ('annotations', ('image_id',))):
        for place, record in enumerate(data[kind]):
            lacking = [key for key in needed if not isinstance(record, dict) or key not in record]
            if lacking:
                raise AnnotationError(f'{path}: {kind}[{place}], {lacking[0]}: missing; COCO files have it')
    return data


def _match(
    categories: list[dict], class_map: ClassMap, path: str | Path, report: Report
) -> dict[int, SourceClass]:
    """The map's entry of each of the file's category ids."""
    by_name: dict[Any, list[Any]] = defaultdict(list)
    for category in categories:
        by_name[category.get('name')].append(category.get('id'))
        by_name[str(category.get('id'))].append(category.get('id'))  # of an entry without a name
    entries = {number: entry for entry in class_map.classes.values() for number in by_name[entry.name]}
    absent = sorted(e.name for e in class_map.classes.values() if e.to and not by_name[e.name])
    if absent:
        report.notes.append(f'not in {Path(path).name}: {", ".join(absent)}')
    if not any(entry.to for entry in entries.values()):
        names = ', '.join(str(category.get('name')) for category in categories[:8])
        raise AnnotationError(f'{path}: categories: none is in the map; it has {names}; give a map by --map')
    return entries


def _by_image(
    data: dict, path: str | Path, entries: dict[int, SourceClass]
) -> list[list[tuple[dict, SourceClass]]]:
    """For each image its annotations of classes in the map."""
    places = {image['id']: place for place, image in enumerate(data['images'])}
    found: list[list[tuple[dict, SourceClass]]] = [[] for _ in data['images']]
    annotations, data['annotations'] = data['annotations'], []  # so that what is not mapped leaves memory
    for annotation in annotations:
        place = places.get(annotation['image_id'])
        if place is None:
            where = f'annotation {annotation.get("id")}, image_id: {annotation["image_id"]!r}'
            raise AnnotationError(f'{path}: {where}; expected the id of an entry of images')
        entry = entries.get(annotation.get('category_id'))
        if entry is not None:
            found[place].append((annotation, entry))
    return found


def _is_usable(annotation: dict, entry: SourceClass) -> bool:
    return entry.use == 'take' and not annotation.get('iscrowd')


def _without_source(class_map: ClassMap) -> set[str]:
    return {name for name in class_map.category_ids if not class_map.sources_of(name)}


def _convert(
    image: dict,
    found: list[tuple[dict, SourceClass]],
    path: str | Path,
    ids: dict[str, int],
    always: set[str],
    options: Options,
) -> Still:
    still = Still(image['file_name'], image['width'], image['height'])
    for annotation, entry in found:
        if entry.use != 'leave_out':
            crowd = not _is_usable(annotation, entry)
            _add(still, annotation, ids[entry.target], crowd, path)
    shown = {record['category_id'] for record in still.objects}
    maybe = always.union(*(entry.maybe for _, entry in found))
    still.unknown = sorted(ids[name] for name in maybe if ids[name] not in shown)
    return still.settle(options)


def _add(still: Still, annotation: dict, category_id: int, crowd: bool, path: str | Path) -> None:
    mask = annotation.pop('segmentation', None)
    where = f'{path}: annotation {annotation.get("id")}'
    if is_absent(mask):
        box = annotation.get('bbox')
        if not isinstance(box, list) or len(box) != 4:
            raise AnnotationError(f'{where}, bbox: found {box!r}; expected [x, y, width, height]')
        box = clipped_box((box[0], box[1], box[0] + box[2], box[1] + box[3]), still.width, still.height)
        if box is None:
            still.counts['objects left out, a box under a pixel'] += 1
        else:
            still.add(category_id, box, None, None, crowd)
        return
    faults, _ = inspect_masks([mask], still.height, still.width)
    if faults:
        raise AnnotationError(f'{where}, segmentation: {faults[0].found}; {faults[0].fix}')
    rle = compress(mask, still.height, still.width)
    area = int(coco_mask.area(rle))
    if area == 0:
        still.counts['objects left out, a mask without a pixel'] += 1
        return
    still.add(category_id, coco_mask.toBbox(rle).tolist(), rle, area, crowd)
