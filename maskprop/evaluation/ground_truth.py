"""Ground truth of a YouTube-VIS file, checked and decoded once, for any number of evaluations."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np

from maskprop.utils.garbage import without_garbage_collection

from .annotation_reader import (
    Track,
    check_has_annotations,
    read_annotations,
    read_categories,
    read_videos,
    require_annotation_file,
)
from .kernels import uses_numba
from .progress import progress_bar
from .rle import RLEError, VideoMasks, decode_masks
from .validation import EvalInputError, fail, load_json, require


@dataclass
class TruthVideo:
    """One video's ground truth; tracks in file order.

    Attributes:
        categories: int64 (G,), category ids. crowd: bool (G,). mean_areas: float64 (G,), square pixels, from the
            file's ``areas``. masks: decoded masks of the G tracks.
    """

    id: int
    size: tuple[int, int]
    length: int
    categories: np.ndarray
    crowd: np.ndarray
    mean_areas: np.ndarray
    masks: VideoMasks


@dataclass
class GroundTruth:
    """A checked annotation file.

    Attributes:
        videos: by ascending id. categories: {id: name} by ascending id. source: file name for messages.
        use_numba: the form that its masks are decoded in. file_order: video ids as the file lists them.
        video_index: {video id: index in ``videos``}.
    """

    videos: list[TruthVideo]
    categories: dict[int, str]
    source: str
    use_numba: bool
    file_order: list[int]
    video_index: dict[int, int] = field(init=False)

    def __post_init__(self) -> None:
        self.video_index = {video.id: index for index, video in enumerate(self.videos)}

    @classmethod
    def from_dict(cls, data: dict, source: str = 'ground truth', backend: str = 'auto') -> GroundTruth:
        """Check a parsed YouTube-VIS annotation file and decode its masks.

        Args:
            data: The parsed file: ``videos``, ``categories``, ``annotations``. It is not changed.
            source: Its name in messages.
            backend: 'auto', 'numba' or 'numpy'.

        Raises:
            EvalInputError: At the first record that cannot be evaluated.
        """
        use_numba = uses_numba(backend)
        check_has_annotations(data, source)
        categories = read_categories(data, source)
        videos = read_videos(data, source)
        result = []
        with without_garbage_collection():
            tracks = read_annotations(data, videos, categories, source)
            with progress_bar(len(videos), 'decoding ground truth', 'video') as bar:
                for video in sorted(videos):
                    result.append(_decode_video(video, *videos[video], tracks[video], source, use_numba))
                    bar.update()
        return cls(result, categories, source, use_numba, list(videos))


def load_frames(
    path: str | Path, frame_stride: int = 1, frame_range: tuple[float, float] = (0.0, 1.0)
) -> GroundTruth:
    """An annotation file without its annotations, which it need not have: what results can be checked against.

    Args:
        path, frame_stride, frame_range: as of :func:`load_ground_truth`.

    Raises:
        EvalInputError: At the first video or category that makes no sense.
    """
    return parse_frames(load_annotations(path), str(path), frame_stride, frame_range)


def parse_frames(
    data: Any, source: str, frame_stride: int = 1, frame_range: tuple[float, float] = (0.0, 1.0)
) -> GroundTruth:
    """``load_frames`` of a file that is parsed; ``source`` is its name in messages."""
    from maskprop.datasets.ytvis_json import frame_indices

    data = require_annotation_file(data, source)
    videos = read_videos(data, source)
    categories = read_categories(data, source)
    use_numba = uses_numba('auto')
    found = []
    for number, (size, length) in sorted(videos.items()):
        length = len(frame_indices(length, frame_stride, frame_range))
        found.append(_decode_video(number, size, length, [], source, use_numba))
    return GroundTruth(found, categories, source, use_numba, list(videos))


def load_ground_truth(
    path: str | Path, frame_stride: int = 1, frame_range: tuple[float, float] = (0.0, 1.0), backend: str = 'auto'
) -> GroundTruth:
    """Read, check and decode an annotation file, as a whole or the frames that a data set key keeps.

    Args:
        path: The file.
        frame_stride: Keep frames 0, s, 2s, ... of every video.
        frame_range: Keep this part of every video, as fractions of its length.
        backend: 'auto', 'numba' or 'numpy'.

    Raises:
        EvalInputError: At the first record that cannot be evaluated.
        ValueError: If the stride or the range makes no sense.
    """
    return parse_ground_truth(load_annotations(path), str(path), frame_stride, frame_range, backend)


def parse_ground_truth(
    data: dict, source: str, frame_stride: int, frame_range: tuple[float, float], backend: str = 'auto'
) -> GroundTruth:
    """``load_ground_truth`` of a file that is parsed; ``source`` is its name in messages."""
    truth = GroundTruth.from_dict(data, source, backend)
    if frame_stride == 1 and tuple(frame_range) == (0, 1):
        return truth
    return GroundTruth.from_dict(keep_frames(data, source, frame_stride, frame_range), source, backend)


def load_annotations(path: str | Path) -> Any:
    """Parse an annotation file; one of another format that is known is told by name.

    Raises:
        EvalInputError: If the file is missing, isn't JSON, or is of another format: says how to import it.
    """
    from maskprop.datasets.ytvis_json import other_format

    try:
        data = load_json(path)
    except EvalInputError:
        if Path(path).exists() and (found := other_format(path)):
            raise EvalInputError(str(found)) from None
        raise
    if found := other_format(path, data):
        raise EvalInputError(str(found))
    return data


def keep_frames(data: dict, source: str, frame_stride: int, frame_range: tuple[float, float]) -> dict:
    """The annotation file with only some frames of every video."""
    from maskprop.datasets.ytvis_json import GroundTruth as YouTubeVIS
    from maskprop.datasets.ytvis_json import select_frames

    for index, record in enumerate(data['videos']):
        require(record, 'file_names', source, f'videos[{index}]', 'the list of frames, to choose some of them')
    return dict(select_frames(cast('YouTubeVIS', data), frame_stride, frame_range))


def _decode_video(
    number: int, size: tuple[int, int], length: int, tracks: list[Track], source: str, use_numba: bool
) -> TruthVideo:
    try:
        masks = decode_masks(
            [track.counts for track in tracks], length, size, np.ones(len(tracks), np.bool_), use_numba
        )
    except RLEError as error:
        row, frame = divmod(error.index, length)
        fail(
            source,
            f'{tracks[row].name} frame {frame}',
            'segmentations',
            str(error),
            'Encode the mask at the size of the video',
        )
    return TruthVideo(
        number,
        size,
        length,
        np.array([track.category for track in tracks], dtype=np.int64),
        np.array([track.crowd for track in tracks], dtype=np.bool_),
        np.array([track.mean_area for track in tracks], dtype=np.float64),
        masks,
    )
