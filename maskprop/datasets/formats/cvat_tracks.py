"""Tracks of CVAT's XML: read, and followed from frame to frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Any, NamedTuple
from xml.etree import ElementTree

import numpy as np
from pycocotools import mask as coco_mask

from maskprop.datasets.formats.cvat_interpolation import interpolate_polygon
from maskprop.datasets.formats.source import Source
from maskprop.datasets.formats.tracks import plain
from maskprop.datasets.formats.values import whole_of_text
from maskprop.datasets.json_files import AnnotationError
from maskprop.datasets.rle import compress, inspect_masks

SHAPES = ('mask', 'polygon')
OTHER_SHAPES = ('box', 'ellipse', 'polyline', 'points', 'cuboid', 'skeleton')


class Shape(NamedTuple):
    """A shape in a frame: corners of a polygon, (n, 2), or a mask's (left, top, width, height, runs)."""

    kind: str
    outside: bool
    data: Any


@dataclass
class CvatTrack:
    """A track: its shapes by frame; ``group`` is CVAT's group_id, 0 for none."""

    number: int
    label: str
    group: int
    where: str
    shapes: dict[int, Shape] = field(default_factory=dict)


@dataclass
class Task:
    """A task, job or part of a project: a video. ``size`` is (height, width); frames run from start to stop."""

    name: str
    where: str
    labels: list[str]
    start: int = 0
    stop: int | None = None
    step: int = 1
    size: tuple[int, int] | None = None
    tracks: list[CvatTrack] = field(default_factory=list)


class Seen(NamedTuple):
    """What a track says: its masks by frame, the frames that it speaks of, and those that it leaves open."""

    masks: dict[int, dict]
    stated: set[int]
    unknown: set[int]


def read_tasks(source: Source, path: PurePosixPath) -> list[Task]:
    """The tasks of one file, with their tracks.

    Raises:
        AnnotationError: the file is damaged, or a track has shapes that are no masks or polygons.
    """
    where = source.name(source.locate(path))
    tasks: dict[str, Task] = {}
    try:
        for _, element in ElementTree.iterparse(source.locate(path)):
            if element.tag == 'meta':
                tasks = _tasks(element, where, source.given.stem)
                element.clear()
            elif element.tag == 'track':
                if not tasks:
                    raise AnnotationError(
                        f'{where}: no <meta> before the tracks; export "CVAT for video 1.1" again'
                    )
                task = tasks.get(element.get('task_id', ''), next(iter(tasks.values())))
                task.tracks.append(_track(element, task, len(task.tracks)))
                element.clear()
    except ElementTree.ParseError as error:
        raise AnnotationError(f'{where}: not valid XML ({error}); export it again') from None
    return list(tasks.values())


def _tasks(meta: ElementTree.Element, where: str, stem: str) -> dict[str, Task]:
    found: dict[str, Task] = {}
    labels = [label.findtext('name') or '' for label in meta.iter('label') if label.find('parent') is None]
    nodes = list(meta.iter('task')) or list(meta.iter('job')) or [meta]
    for node in nodes:
        name = node.findtext('name') or meta.findtext('.//source') or stem
        task = Task(name, f'{where}: {name}', list(dict.fromkeys(labels)))
        size = node.find('original_size')
        size = meta.find('.//original_size') if size is None else size
        if size is not None:
            task.size = _number(size, 'height', task.where), _number(size, 'width', task.where)
        task.start = _number(node, 'start_frame', task.where)
        step = (node.findtext('frame_filter') or '').replace(' ', '')
        task.step = whole_of_text(step.removeprefix('step=')) or 1
        if node.findtext('size'):  # some writers' stop_frame is one too many
            task.stop = task.start + (_number(node, 'size', task.where) - 1) * task.step
        elif node.findtext('stop_frame'):
            task.stop = _number(node, 'stop_frame', task.where)
        found[node.findtext('id') or ''] = task
    return found


def _number(node: ElementTree.Element, tag: str, where: str) -> int:
    text = node.findtext(tag) or '0'
    number = whole_of_text(text)
    if number is None:
        raise AnnotationError(f'{where}: <{tag}>: found {text!r:.40}; expected a whole number, export it again')
    return number


def _track(element: ElementTree.Element, task: Task, number: int) -> CvatTrack:
    where = f'{task.where}: track {element.get("id", number)} ({element.get("label", "")})'
    group = element.get('group_id', '0')
    track = CvatTrack(number, element.get('label', ''), int(group) if group.isdecimal() else 0, where)
    for shape in element:
        if shape.tag in OTHER_SHAPES:
            raise AnnotationError(
                f'{where}: a {shape.tag}, which says nothing of the pixels; draw masks or polygons in CVAT (its '
                'SAM tools make them of boxes), or leave the track out'
            )
        if shape.tag not in SHAPES:
            continue
        try:
            track.shapes[int(shape.attrib['frame'])] = _shape(shape)
        except (KeyError, ValueError) as error:
            raise AnnotationError(
                f'{where}: a {shape.tag} that cannot be read ({error}); export it again'
            ) from None
    track.shapes = dict(sorted(track.shapes.items()))
    beyond = [n for n in track.shapes if n < task.start or (task.stop is not None and n > task.stop)]
    if any(not track.shapes[frame].outside for frame in beyond):
        frames = f'frames {task.start} to {task.stop}' if task.stop is not None else f'frames from {task.start}'
        raise AnnotationError(f'{where}: a shape in frame {beyond[0]}, but the task has {frames}; export it again')
    return track


def _shape(element: ElementTree.Element) -> Shape:
    outside = element.get('outside', '0') == '1'
    if element.tag == 'mask':
        box = [int(element.attrib[key]) for key in ('left', 'top', 'width', 'height')]
        return Shape('mask', outside, (*box, [int(run) for run in element.attrib['rle'].split(',')]))
    corners = [[float(value) for value in point.split(',')] for point in element.attrib['points'].split(';')]
    return Shape('polygon', outside, np.array(corners).reshape(-1, 2))


def follow(track: CvatTrack, frames: Sequence[int], height: int, width: int) -> Seen:
    """What a track is in each frame, as CVAT defines it.

    A polygon moves from keyframe to keyframe (:func:`interpolate_polygon`) and stays as it is after the last; a
    shape that is ``outside`` ends it until the next one that is not. Masks are not moved: a mask counts in its own
    frame, and frames between two that no shape says anything of are left open. A track of one shape, alone or
    with an outside one right after it, is what CVAT writes of a shape without a track: it says nothing of other
    frames.

    Args:
        track: the track.
        frames: all frames of the video, in order.
        height, width: of the frames.

    Raises:
        AnnotationError: a mask does not fit into the frame, or a polygon is none.
    """
    masks: dict[int, dict] = {}
    stated: set[int] = set()
    unknown: set[int] = set()
    index = {frame: place for place, frame in enumerate(frames)}
    listed = [frame for frame in track.shapes if frame in index]
    for frame in listed:
        stated.add(frame)
        if not track.shapes[frame].outside:
            masks[frame] = _mask(track.shapes[frame], track, frame, height, width)
    if _is_lone_shape(track, listed, index):
        return Seen(masks, {frame for frame in listed if frame in masks}, unknown)
    for first, after in _spans(listed, frames, index):
        shape, between = (
            track.shapes[first],
            frames[index[first] + 1 : index[after] if after is not None else None],
        )
        if shape.outside:
            stated.update(between)
        elif shape.kind == 'mask':
            unknown.update(between)
        else:
            stated.update(between)
            for frame in between:
                moved = shape if after is None else _between(shape, track.shapes[after], first, after, frame)
                masks[frame] = _mask(moved, track, frame, height, width)
    return Seen(masks, stated, unknown)


def _is_lone_shape(track: CvatTrack, listed: list[int], index: dict[int, int]) -> bool:
    if len(listed) == 1:
        return track.shapes[listed[0]].kind == 'mask' and not track.shapes[listed[0]].outside
    first, second = (listed + [-1, -1])[:2]
    return (
        len(listed) == 2
        and not track.shapes[first].outside
        and track.shapes[second].outside
        and index[second] == index[first] + 1
        and index[second] < len(index) - 1
    )


def _spans(listed: list[int], frames: Sequence[int], index: dict[int, int]) -> Iterator[tuple[int, int | None]]:
    """Listed frames with the next one; the last with None."""
    yield from pairwise(listed)
    if listed:
        yield listed[-1], None


def _between(shape: Shape, after: Shape, first: int, last: int, frame: int) -> Shape:
    if after.kind != 'polygon':
        return shape
    share = (frame - first) / (last - first)
    return shape._replace(data=interpolate_polygon(shape.data, after.data, share))


def _mask(shape: Shape, track: CvatTrack, frame: int, height: int, width: int) -> dict:
    where = f'{track.where}: frame {frame}'
    if shape.kind == 'polygon':
        if len(shape.data) < 3:
            return plain(coco_mask.encode(np.zeros((height, width), np.uint8, order='F')))
        polygon = [shape.data.reshape(-1).tolist()]
        faults, _ = inspect_masks([polygon], height, width)
        if faults:
            raise AnnotationError(f'{where}: {faults[0].found}; {faults[0].fix}')
        return compress(polygon, height, width)
    left, top, box_width, box_height, runs = shape.data
    fits = 0 <= left <= left + box_width <= width and 0 <= top <= top + box_height <= height
    if not fits or min(runs) < 0 or sum(runs) != box_width * box_height:
        found = f'a mask of {sum(runs)} pixels in a box of {box_width}x{box_height} at {left}, {top}'
        raise AnnotationError(f'{where}: {found}, in frames of {width}x{height}; export it again')
    pixels = np.zeros((height, width), np.uint8, order='F')
    values = np.repeat(np.arange(len(runs)) % 2, runs).astype(np.uint8)
    pixels[top : top + box_height, left : left + box_width] = values.reshape(box_height, box_width)
    return plain(coco_mask.encode(pixels))
