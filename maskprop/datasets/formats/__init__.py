"""Other formats of annotations of videos: read into YouTube-VIS, and written from it (docs/formats.md).

A new format is a file here with a ``FORMAT`` (:class:`~maskprop.datasets.formats.registry.Format`), and its line
in ``FORMATS`` of ``finding.py``.
"""

from maskprop.datasets.formats.finding import FORMATS, WRITABLE
from maskprop.datasets.formats.sets import (
    categories_of,
    drop_scores_below,
    frames_of_set,
    objects_by_frame,
)
from maskprop.datasets.formats.tracks import Category, FrameObject, VideoFrames, VideoInfo

#: By name: functions (out, videos, categories) -> files written.
WRITERS = {name: form.write for name, form in WRITABLE.items() if form.write is not None}

__all__ = [
    'Category',
    'FORMATS',
    'FrameObject',
    'VideoFrames',
    'VideoInfo',
    'WRITERS',
    'categories_of',
    'drop_scores_below',
    'frames_of_set',
    'objects_by_frame',
]
