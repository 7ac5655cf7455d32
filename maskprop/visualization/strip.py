"""Frames of a video side by side, in rows: frames, ground truth, predictions (as in the paper's Figure 7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import mmcv
import numpy as np

from maskprop.datasets.ytvis_json import GroundTruth, Video, load_ytvis, select_frames
from maskprop.evaluation.checked_results import read_checked_results
from maskprop.visualization.files import write_image
from maskprop.visualization.overlay import display_scale
from maskprop.visualization.text import paste_text, text_alpha
from maskprop.visualization.tracks import Track, draw_tracks, tracks_from_annotations, tracks_from_results

CELL_WIDTH = 320  # pixels
GAP = 4  # pixels, between cells
TEXT_SIZE = 16  # pixels: titles and headers
LABEL_SIZE = 12  # pixels: labels of objects
INK, PAPER = (40, 40, 40), (255, 255, 255)  # BGR


def evenly_spaced(num_frames: int, count: int) -> list[int]:
    """``count`` frame indices (fewer in a shorter video), evenly from the first frame to the last."""
    if num_frames < 1 or count < 1:
        raise ValueError(f'a strip needs a frame at least: got {num_frames} frames, {count} asked for')
    if count == 1:
        return [num_frames // 2]
    return [int(i) for i in np.linspace(0, num_frames - 1, min(count, num_frames)).round()]


def draw_strip(
    image_paths: Sequence[str | Path],
    rows: Mapping[str, Sequence[Track]],
    *,
    num_columns: int = 6,
    cell_width: int = CELL_WIDTH,
    show_labels: bool = True,
) -> np.ndarray:
    """A strip of one video. Reads only the frames that it shows.

    Args:
        image_paths: every frame of the video.
        rows: title -> tracks, drawn under the row of plain frames in this order.
        num_columns: evenly spaced frames to show.
        cell_width: width of each picture in pixels; its height keeps the proportions.
        show_labels: write classes and scores onto the objects.

    Returns:
        (H, W, 3) uint8 BGR; see ``compose`` for the layout.
    """
    for title, tracks in rows.items():
        for track in tracks:
            if len(track.segmentations) != len(image_paths):
                found = f'{len(track.segmentations)} frames in a track, {len(image_paths)} images'
                raise ValueError(f'strip row "{title}": {found}')
    frames = evenly_spaced(len(image_paths), num_columns)
    images = [mmcv.imread(str(image_paths[t])) for t in frames]
    pictures = {'frames': [draw_cell(image, [], 0, cell_width, show_labels) for image in images]}
    for title, tracks in rows.items():
        pictures[title] = [
            draw_cell(image, tracks, t, cell_width, show_labels) for t, image in zip(frames, images, strict=True)
        ]
    return compose(pictures, [f'frame {t}' for t in frames])


def compose(rows: Mapping[str, Sequence[np.ndarray]], headers: Sequence[str]) -> np.ndarray:
    """Puts rows of pictures of one size on white paper, a title left of each row, a header over each column.

    Args:
        rows: title -> one (h, w, 3) uint8 picture per header.
        headers: one a column.

    Returns:
        (H, W, 3) uint8, H = header height + rows * (h + GAP) + GAP,
        W = title width + columns * (w + GAP) + GAP.
    """
    height, width = next(iter(rows.values()))[0].shape[:2]
    top, left = layout_margins(rows)
    paper = np.empty(
        (top + len(rows) * (height + GAP) + GAP, left + len(headers) * (width + GAP) + GAP, 3), np.uint8
    )
    paper[...] = PAPER
    for column, header in enumerate(headers):
        x = left + GAP + column * (width + GAP)
        paste_text(paper, header, (x + (width - text_alpha(header, TEXT_SIZE).shape[1]) // 2, GAP), TEXT_SIZE, INK)
    for row, (title, pictures) in enumerate(rows.items()):
        y = top + GAP + row * (height + GAP)
        for column, picture in enumerate(pictures):
            x = left + GAP + column * (width + GAP)
            paper[y : y + height, x : x + width] = picture
        paste_text(paper, title, (2 * GAP, y + (height - top) // 2), TEXT_SIZE, INK)
    return paper


def layout_margins(titles: Mapping[str, object] | Sequence[str]) -> tuple[int, int]:
    """Height of the header and width of the title column, in pixels."""
    shapes = [text_alpha(title, TEXT_SIZE).shape for title in titles]
    return shapes[0][0] + GAP, max(shape[1] for shape in shapes) + 3 * GAP


def strip_from_files(
    ground_truth: str | Path,
    image_folder: str | Path,
    video_id: int,
    results: Mapping[str, str | Path],
    out: str | Path,
    *,
    min_score: float = 0.3,
    num_columns: int = 6,
    frame_stride: int = 1,
    frame_range: tuple[float, float] = (0.0, 1.0),
) -> None:
    """Saves the strip of a video from files in the YouTube-VIS format.

    Args:
        ground_truth: annotation file; the row of ground truth is left out where it has no annotations.
        image_folder: folder of the file names in it.
        video_id: which video.
        results: row title -> result file, for instance {'MaskTrack R-CNN': 'a.json', 'MaskProp': 'b.json'}.
        out: the image to write.
        min_score: predictions with a lower score are left out.
        num_columns: evenly spaced frames to show.
        frame_stride, frame_range: the frames that the results are of, as in the test set's config.

    Raises:
        AnnotationError, EvalInputError: a file is missing or malformed.
        ValueError: the annotation file has no such video.
    """
    data = select_frames(load_ytvis(ground_truth), frame_stride, frame_range)
    video = find_video(data, video_id, ground_truth)
    names = {c['id']: c['name'] for c in data['categories']}
    rows: dict[str, list[Track]] = {}
    if data['annotations']:
        annotations = [a for a in data['annotations'] if a['video_id'] == video_id]
        rows['ground truth'] = tracks_from_annotations(annotations, names)
    for title, path in results.items():
        found = read_checked_results(path, data, ground_truth, allow_empty=True)
        records = [r for r in found if r['video_id'] == video_id]
        rows[title] = tracks_from_results(records, names, min_score)
    paths = [Path(image_folder) / name for name in video['file_names']]
    write_image(out, draw_strip(paths, rows, num_columns=num_columns))


def find_video(data: GroundTruth, video_id: int, source: str | Path) -> Video:
    """A video of an annotation file.

    Raises:
        ValueError: there is none of this id; ``source`` names the file.
    """
    for video in data['videos']:
        if video['id'] == video_id:
            return video
    known = sorted(v['id'] for v in data['videos'])
    raise ValueError(f'{source}: no video with id {video_id}; it has {known[:10]}{"..." * (len(known) > 10)}')


def draw_cell(
    image: np.ndarray, tracks: Sequence[Track], frame: int, width: int, show_labels: bool = True
) -> np.ndarray:
    """A frame of a strip, ``width`` pixels wide, with the tracks at one frame index drawn over it."""
    scale = display_scale(*image.shape[:2])
    font_size = max(1, round(LABEL_SIZE * image.shape[1] * scale / width))  # before the picture is fitted
    drawn = draw_tracks(image, tracks, frame, show_labels=show_labels, upscale=scale, font_size=font_size)
    return _fit(drawn, width)


def _fit(image: np.ndarray, width: int) -> np.ndarray:
    height = max(1, round(image.shape[0] * width / image.shape[1]))
    shrink = width < image.shape[1]
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrink else cv2.INTER_CUBIC)
