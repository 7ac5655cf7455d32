"""Other formats of annotations of videos: read into YouTube-VIS, and written from it (docs/formats.md).

A new format is a file here with a ``FORMAT`` (:class:`~maskprop.datasets.formats.registry.Format`), and its line
in ``FORMATS``.
"""

from maskprop.datasets.formats.coco import write_coco
from maskprop.datasets.formats.csv_table import write_csv
from maskprop.datasets.formats.cvat_xml import write_cvat
from maskprop.datasets.formats.masks import write_masks
from maskprop.datasets.formats.mots import write_mots_png, write_mots_txt
from maskprop.datasets.formats.sets import (
    categories_of,
    drop_scores_below,
    frames_of_set,
    objects_by_frame,
)
from maskprop.datasets.formats.tracks import Category, FrameObject, VideoFrames, VideoInfo

#: By name: functions (out, videos, categories) -> files written.
WRITERS = {
    'coco': write_coco,
    'csv': write_csv,
    'cvat': write_cvat,
    'masks': write_masks,
    'mots': write_mots_png,
    'mots-txt': write_mots_txt,
}

__all__ = [
    'Category',
    'FrameObject',
    'VideoFrames',
    'VideoInfo',
    'WRITERS',
    'categories_of',
    'drop_scores_below',
    'frames_of_set',
    'objects_by_frame',
]
