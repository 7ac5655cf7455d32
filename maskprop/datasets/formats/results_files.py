"""Results in place of annotations: not imported, but told by name, with the commands that read them."""

from __future__ import annotations

from pathlib import PurePosixPath

from maskprop.datasets.formats.registry import Format
from maskprop.datasets.formats.source import Source

_IN_ZIP = PurePosixPath('results.json')


def recognise_tracks(source: Source) -> bool:
    """Results of videos, as a list or as the zip of a submission."""
    return {'video_id', 'score'} <= _first_keys(source)


def recognise_detections(source: Source) -> bool:
    """COCO's results of images."""
    return {'image_id', 'score'} <= _first_keys(source)


def _first_keys(source: Source) -> set[str]:
    """Keys of the first record of a list."""
    if source.path.is_dir() and not (source.is_unpacked and source.json_files == [_IN_ZIP]):
        return set()
    data = source.first_json()
    return set(data[0]) if isinstance(data, list) and data and isinstance(data[0], dict) else set()


TRACKS = Format(
    'ytvis-results',
    'a results file',
    recognise_tracks,
    instead='it is given after the annotation file of its videos: maskprop eval ANNOTATIONS.json {source} scores '
    'it; maskprop analyze results, export --results and compare-videos take it too',
)
DETECTIONS = Format(
    'coco-results',
    'a results file of single images',
    recognise_detections,
    instead='a model takes it in place of its detector: model.detections.file={source} (docs/given_detections.md)',
)
