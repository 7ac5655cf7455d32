"""Several methods' results on the same videos, a strip each (as in the paper's Figure 7)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from maskprop.datasets.ytvis_json import GroundTruth, load_ytvis, select_frames
from maskprop.evaluation.checked_results import read_checked_results
from maskprop.evaluation.validation import EvalInputError, fail
from maskprop.visualization.files import write_image
from maskprop.visualization.matched_colours import match_colours
from maskprop.visualization.strip import CELL_WIDTH, draw_strip, find_video
from maskprop.visualization.tracks import Track, tracks_from_annotations, tracks_from_results

TRUTH = 'ground truth'


def compare_videos(
    ann_file: str | Path,
    image_folder: str | Path,
    results: Mapping[str, str | Path],
    out_dir: str | Path,
    video_ids: Sequence[int] | None = None,
    *,
    show_truth: bool = False,
    min_score: float = 0.3,
    num_columns: int = 6,
    cell_width: int = CELL_WIDTH,
    show_labels: bool = True,
    frame_stride: int = 1,
    frame_range: tuple[float, float] = (0.0, 1.0),
) -> Iterator[Path]:
    """Write ``video_ID.png`` for each video: rows of frames and of each method's tracks.

    A track keeps its colour over time, and an object its colour over the methods
    (:func:`~maskprop.visualization.matched_colours.match_colours`).

    Args:
        ann_file: annotation file of the videos; annotations may be missing.
        image_folder: folder of the file names in it.
        results: row title -> results file in the YouTube-VIS format.
        out_dir: gets the pictures; made if missing.
        video_ids: None: all videos.
        show_truth: a row of ground truth above the methods', whose colours it decides.
        min_score: tracks with a lower score are left out.
        num_columns: evenly spaced frames to show.
        cell_width: width of each picture in pixels.
        show_labels: write classes and scores onto the objects.
        frame_stride, frame_range: the frames that the results are of, as in the test set's config.

    Yields:
        each file, once written. All that is asked for is checked before the first.

    Raises:
        AnnotationError, EvalInputError: a file is missing or malformed, or has no such video.
    """
    data = select_frames(load_ytvis(ann_file), frame_stride, frame_range)
    try:
        videos = data['videos'] if video_ids is None else [find_video(data, i, ann_file) for i in video_ids]
    except ValueError as error:
        raise EvalInputError(str(error)) from None
    if show_truth and not data['annotations']:
        fail(str(ann_file), '', 'annotations', 'there are none', 'Leave the row of ground truth out')
    _check_images(videos, image_folder, ann_file)
    found = {
        title: _by_video(read_checked_results(path, data, ann_file, allow_empty=True))
        for title, path in results.items()
    }
    for video in videos:
        records = {title: by_video[video['id']] for title, by_video in found.items()}
        rows = _rows(data, video['id'], records, show_truth, min_score)
        rows = match_colours(rows, (video['height'], video['width']))
        paths = [Path(image_folder, name) for name in video['file_names']]
        strip = draw_strip(paths, rows, num_columns=num_columns, cell_width=cell_width, show_labels=show_labels)
        path = Path(out_dir, f'video_{video["id"]}.png')
        write_image(path, strip)
        yield path


def _check_images(videos: Sequence[Mapping[str, Any]], image_folder: str | Path, ann_file: str | Path) -> None:
    """Raise EvalInputError if a video's first frame is not in the folder."""
    for video in videos:
        first = Path(image_folder, video['file_names'][0])
        if not first.is_file():
            fail(str(first), '', '', 'no such image', f'Give the folder that file_names of {ann_file} start from')


def _rows(
    data: GroundTruth, video_id: int, records: Mapping[str, list[dict]], show_truth: bool, min_score: float
) -> dict[str, list[Track]]:
    """A video's rows of tracks, in their order in the picture: row title -> tracks.

    Args:
        data: the annotations. video_id: of the video.
        records: row title -> the method's records of the video.
        show_truth: a row of ground truth first. min_score: of the methods' tracks.
    """
    names = {c['id']: c['name'] for c in data['categories']}
    rows: dict[str, list[Track]] = {}
    if show_truth:
        annotations = [a for a in data['annotations'] or () if a['video_id'] == video_id]
        rows[TRUTH] = tracks_from_annotations(annotations, names)
    for title, found in records.items():
        rows[title] = tracks_from_results(found, names, min_score)
    return rows


def _by_video(records: Iterable[dict]) -> dict[int, list[dict]]:
    found: dict[int, list[dict]] = defaultdict(list)
    for record in records:
        found[record['video_id']].append(record)
    return found
