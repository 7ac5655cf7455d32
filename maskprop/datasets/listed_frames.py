"""Which frame of an annotation file an image is, by its number or by its path."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

from maskprop.datasets.ytvis_json import AnnotationError, load_ytvis

T = TypeVar('T')


class FramePlace(NamedTuple):
    """A listed frame: ``index`` counts all frames that the file lists of the video, from 0."""

    video_id: int
    index: int  # type: ignore[assignment]  # hides tuple.index


class ListedFrames:
    """The frames of a YouTube-VIS annotation file, whatever part of them a data set uses.

    Frames are numbered from 1 over the videos in the order of the file, every listed frame of a video in turn.
    That is how mmdet's ``tools/dataset_converters/youtubevis2coco.py`` numbers images.

    Args:
        ann_file: annotation file; annotations may be missing.

    Attributes:
        category_ids: by class index, as a data set numbers classes.
        classes: names by class index.
        sizes: video id -> (height, width) in pixels.
        lengths: video id -> number of listed frames.
        places: all frames; frame number n is ``places[n - 1]``.

    Raises:
        AnnotationError: the file has errors, or a video lists a file twice.
    """

    def __init__(self, ann_file: str | Path) -> None:
        data = load_ytvis(ann_file)
        self.ann_file = str(ann_file)
        categories = sorted(data['categories'], key=lambda category: category['id'])
        self.category_ids = [category['id'] for category in categories]
        self.classes = tuple(category['name'] for category in categories)
        self.sizes = {v['id']: (v['height'], v['width']) for v in data['videos']}
        self.lengths = {v['id']: len(v['file_names']) for v in data['videos']}
        self.places = [FramePlace(v['id'], i) for v in data['videos'] for i in range(len(v['file_names']))]
        self._numbers = {place: number for number, place in enumerate(self.places, 1)}
        self._indices: dict[int, dict[str, int]] = {}
        for video in data['videos']:
            indices = {name: i for i, name in enumerate(video['file_names'])}
            if len(indices) < len(video['file_names']):
                twice = next(n for i, n in enumerate(video['file_names']) if indices[n] != i)
                raise AnnotationError(
                    f'{ann_file}: video {video["id"]}, file_names: {twice!r} is listed twice, so its frames '
                    'cannot be told apart by their files; list every frame once'
                )
            self._indices[video['id']] = indices

    def number(self, place: FramePlace) -> int:
        """The frame's number, from 1."""
        return self._numbers[place]

    def find(self, video_id: int, path: str) -> FramePlace | None:
        """The frame of a video whose file name is the end of ``path``; None if the video lists no such file."""
        index = find_by_path(self._indices.get(video_id, {}), path)
        return None if index is None else FramePlace(video_id, index)

    def by_file_name(self) -> dict[str, list[FramePlace]]:
        """The frames of every listed file; several where videos share files."""
        named: dict[str, list[FramePlace]] = defaultdict(list)
        for video_id, indices in self._indices.items():
            for name, index in indices.items():
                named[name].append(FramePlace(video_id, index))
        return dict(named)


def find_by_path(entries: Mapping[str, T], path: str) -> T | None:
    """The entry whose name is a path, or the end of it from some folder on; of several the longest name."""
    parts = path.replace('\\', '/').split('/')
    for start in range(len(parts)):
        found = entries.get('/'.join(parts[start:]))
        if found is not None:
            return found
    return None
