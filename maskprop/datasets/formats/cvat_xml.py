"""CVAT for video 1.1: an XML file of tracks, whose shapes CVAT interpolates between keyframes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree
from xml.sax.saxutils import XMLGenerator
from xml.sax.xmlreader import AttributesImpl

import numpy as np
from pycocotools import mask as coco_mask

from maskprop.datasets.formats.cvat_tracks import Task, follow, read_tasks
from maskprop.datasets.formats.frames import check_size, needed_images, place_by_number
from maskprop.datasets.formats.registry import Format
from maskprop.datasets.formats.sets import tracks_of_frames
from maskprop.datasets.formats.source import Source
from maskprop.datasets.formats.tracks import (
    Category,
    Reading,
    ReadOptions,
    ReadVideo,
    TrackBuilder,
    VideoFrames,
    VideoInfo,
)
from maskprop.datasets.json_files import AnnotationError
from maskprop.utils.files import fill_when_done, unique_names

_NOT_IN_XML = re.compile(r'[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]')


def write_cvat(out: Path, videos: Iterable[VideoFrames], categories: Sequence[Category]) -> list[Path]:
    """Writes a file for each video: OUT where it ends in .xml and there is one video, else OUT/VIDEO.xml.

    Every visible frame is a keyframe with the mask; after each visible run, and in the first and last frame, a
    shape that is ``outside`` says that the object is not visible. Scores are left out: CVAT has none. Crowds are
    tracks as others.

    Returns:
        The files.
    """
    one_file = out.suffix.lower() == '.xml'
    folder = out.parent if one_file else out
    names = []
    with fill_when_done(folder) as unfinished:
        for number, (info, frames) in enumerate(videos):
            if one_file:
                names.append(out.name if number == 0 else f'{out.stem}_{number + 1}{out.suffix}')
            else:
                names.append(f'{unique_names([info.name])[0]}.xml')
            with (unfinished / names[-1]).open('w', encoding='utf-8') as file:
                _write_video(XMLGenerator(file, 'utf-8', short_empty_elements=True), info, frames, categories)
    return [folder / name for name in names]


def _write_video(xml: XMLGenerator, info: VideoInfo, frames: Iterable, categories: Sequence[Category]) -> None:
    length = len(info.file_names)
    xml.startDocument()
    _open(xml, 'annotations')
    _leaf(xml, 'version', '1.1')
    _open(xml, 'meta')
    _open(xml, 'task')
    for tag, text in dict(name=info.name, size=length, mode='interpolation', start_frame=0).items():
        _leaf(xml, tag, text)
    _leaf(xml, 'stop_frame', length - 1)
    _open(xml, 'labels')
    for category in categories:
        _open(xml, 'label')
        _leaf(xml, 'name', category.name)
        _leaf(xml, 'type', 'mask')
        _open(xml, 'attributes')
        xml.endElement('attributes')
        xml.endElement('label')
    xml.endElement('labels')
    _open(xml, 'original_size')
    _leaf(xml, 'width', info.width)
    _leaf(xml, 'height', info.height)
    for tag in ('original_size', 'task', 'meta'):
        xml.endElement(tag)
    for number, track in enumerate(tracks_of_frames(frames).values()):
        _open(xml, 'track', dict(id=str(number), label=track['category'], source='manual'))
        _write_shapes(xml, track['masks'], length)
        xml.endElement('track')
    xml.endElement('annotations')
    xml.endDocument()


def _write_shapes(xml: XMLGenerator, masks: dict[int, dict], length: int) -> None:
    last: dict[str, str] = _attributes(masks[min(masks)])
    for frame in range(length):
        visible = frame in masks
        if not visible and not (frame in (0, length - 1) or frame - 1 in masks):
            continue
        last = _attributes(masks[frame]) if visible else last
        state = dict(frame=str(frame), keyframe='1', outside=str(int(not visible)), occluded='0')
        _open(xml, 'mask', {**state, **last, 'z_order': '0'})
        xml.endElement('mask')


def _attributes(rle: dict) -> dict[str, str]:
    """Box and runs, row by row in the box, background first."""
    left, top, width, height = (int(value) for value in coco_mask.toBbox(rle))
    pixels = coco_mask.decode(rle)[top : top + height, left : left + width].reshape(-1)
    ends = np.flatnonzero(np.diff(pixels, prepend=0, append=2))
    runs = np.diff(ends, prepend=0)
    box = dict(left=left, top=top, width=width, height=height)
    return dict(rle=', '.join(map(str, runs.tolist())), **{key: str(value) for key, value in box.items()})


def _open(xml: XMLGenerator, tag: str, attributes: Mapping[str, str] | None = None) -> None:
    for text in (attributes or {}).values():
        _check_text(text)
    xml.startElement(tag, AttributesImpl(attributes or {}))


def _check_text(text: str) -> None:
    if found := _NOT_IN_XML.search(text):
        raise AnnotationError(f'the name {text!r} has {found[0]!r}, which XML cannot hold; rename it, or use coco')


def _leaf(xml: XMLGenerator, tag: str, text: object) -> None:
    _open(xml, tag)
    _check_text(str(text))
    xml.characters(str(text))
    xml.endElement(tag)


def recognise(source: Source) -> bool:
    """XML of CVAT with tracks."""
    return any(_kind(source, path) == 'track' for path in source.of_suffix('.xml')[:3])


def recognise_images(source: Source) -> bool:
    """XML of CVAT with shapes of single images."""
    return any(_kind(source, path) == 'image' for path in source.of_suffix('.xml')[:3])


def _kind(source: Source, path: PurePosixPath) -> str | None:
    """The first thing in the file: 'track', 'image', or None. XML that ends or breaks before it is 'track'."""
    if '<annotations' not in source.head(path):
        return None
    found = None
    try:
        for _, element in ElementTree.iterparse(source.locate(path), events=('start',)):
            if element.tag in ('track', 'image'):
                return element.tag
            if element.tag == 'mode' or found:
                found = 'track'  # a task of a video without any object
    except ElementTree.ParseError:
        return 'track'  # whose reader says what is wrong
    return found


def read(source: Source, options: ReadOptions) -> Reading:
    """Reads CVAT's XML, or a zip or folder of such.

    Raises:
        AnnotationError: the XML is damaged, a track has shapes without an area of pixels, or the frames don't fit.
    """
    tasks = [task for path in source.of_suffix('.xml') for task in read_tasks(source, path)]
    names = dict.fromkeys(name for task in tasks for name in task.labels)
    categories = [Category(number, name) for number, name in enumerate(names, start=1)]
    return Reading(_videos(source, options, tasks), len(tasks), categories or None)


def _videos(source: Source, options: ReadOptions, tasks: list[Task]) -> Iterator[ReadVideo]:
    images = needed_images(options.images, source.given)
    for task in tasks:
        info = images.frames(images.find(task.name, task.where))
        if task.size:
            check_size(info, *task.size, task.where)
        frames = sorted({frame for track in task.tracks for frame in track.shapes})
        if task.stop is not None:  # a closing shape may lie one step behind the last frame
            frames = [frame for frame in frames if frame <= task.stop]
        count = None if task.stop is None else (task.stop - task.start) // task.step + 1
        places = place_by_number(info, frames, task.where, task.start, task.step, count)
        order = sorted(places)
        builder, stated, unknown = TrackBuilder(task.where), set(), set()
        for track in task.tracks:
            seen = follow(track, order, info.height, info.width)
            stated |= seen.stated
            unknown |= seen.unknown
            # CVAT's own exports join the shapes of a group to one object
            key = (track.group, 1, track.label) if track.group else (track.number, 0, '')
            for frame, mask in seen.masks.items():
                builder.add(key, places[frame], track.label, mask)
        yield ReadVideo(info, builder.tracks(), {places[frame] for frame in stated - unknown}, task.where)
    images.warn_of_others()


FORMAT = Format('cvat', 'CVAT for video 1.1', recognise, read, write_cvat, folder=True)
IMAGES = Format(
    'cvat-images',
    'CVAT for images 1.1',
    recognise_images,
    instead='it has no tracks: export the task as "CVAT for video 1.1"',
)
