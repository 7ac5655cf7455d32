"""Whole videos: from Python, and with files written as ``tools/infer_video.py`` does."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mmcv
import numpy as np
from torch import nn
from tqdm import tqdm

from maskprop.apis.frames import FrameSource, VideoError, open_frames
from maskprop.apis.session import VideoSession, image_loader_options
from maskprop.evaluation.results_io import write_results
from maskprop.utils.files import check_writable
from maskprop.visualization.overlay import draw_instances
from maskprop.visualization.video_writer import VideoWriter

if TYPE_CHECKING:
    from maskprop.structures import FrameResult

RESULTS_NAME, VIDEO_NAME = 'results.json', 'overlay.mp4'


def inference_video(
    model: nn.Module,
    frames_or_path: str | Path | Iterable[np.ndarray],
    *,
    frame_stride: int = 1,
    video_id: int = 1,
    progress: bool = False,
) -> list[dict[str, Any]]:
    """Runs a model on a video, streamed.

    Args:
        model: from :func:`~maskprop.apis.init_model`.
        frames_or_path: a video file, a folder of images (in natural order), or (h, w, 3) uint8 BGR arrays:
            a list, a (T, h, w, 3) array or a generator.
        frame_stride: take frames 0, s, 2s, ...
        video_id: written into each record.
        progress: show frames done and the time left on stderr.

    Returns:
        YouTube-VIS result records, equal to those of ``tools/test.py`` on the same frames.

    Raises:
        FileNotFoundError, TypeError, VideoError: as :func:`~maskprop.apis.frames.open_frames` and
            :meth:`VideoSession.step`; an empty video.
    """
    source = _open(model, frames_or_path, frame_stride)
    session = VideoSession(model)
    for frame in _with_progress(source, progress):
        session.step(frame)
    session.finish()
    return session.results(video_id)


def infer_video_to_folder(
    model: nn.Module,
    frames_or_path: str | Path | Iterable[np.ndarray],
    out_dir: str | Path,
    *,
    score_thr: float = 0.3,
    frame_stride: int = 1,
    write_video: bool = True,
    progress: bool = True,
) -> int:
    """As :func:`inference_video`, but writes ``results.json`` and ``overlay.mp4`` into a folder.

    The overlay is drawn as frames become final and results are written one by one, so memory does not grow with
    the video.

    Args:
        model, frames_or_path, frame_stride, progress: as in :func:`inference_video`.
        out_dir: the folder; made if missing. Each file appears when it is whole.
        score_thr: objects whose score in a frame is lower are not drawn there; results.json has them all.
        write_video: write ``overlay.mp4``.

    Returns:
        the number of records in ``results.json``.

    Raises:
        OSError: as :func:`~maskprop.utils.files.check_writable`, before the first frame.
        VideoError, OSError: the overlay could not be drawn or written; raised once results.json is written.
        FileNotFoundError, TypeError, VideoError: as :func:`inference_video`.
    """
    out_dir = Path(out_dir)
    for name in (RESULTS_NAME, VIDEO_NAME)[: 1 + write_video]:
        check_writable(out_dir / name, 'out_dir')
    source = _open(model, frames_or_path, frame_stride)
    session = VideoSession(model)
    writer = VideoWriter(out_dir / VIDEO_NAME, source.fps) if write_video else None
    with _Overlay(writer, model.dataset_meta['classes'], score_thr) as overlay:
        for frame, result in stream_results(session, _with_progress(source, progress)):
            overlay.add(frame, result)
        count = write_results(out_dir / RESULTS_NAME, session.iter_results())
    return count


class _Overlay:
    """Writes the overlay, which never costs results: its errors are raised after the block that writes them."""

    def __init__(self, writer: VideoWriter | None, classes: Sequence[str], score_thr: float) -> None:
        self._writer, self._classes, self._score_thr = writer, classes, score_thr
        self._error: Exception | None = None

    def add(self, frame: np.ndarray, result: FrameResult) -> None:
        if self._writer is None or self._error is not None:
            return
        try:
            self._writer.write(draw_frame_result(frame, result, self._classes, self._score_thr))
        except Exception as error:  # of codecs, disks, fonts
            path, self._error = self._writer.path, error
            warnings.warn(f'{path} will be missing ({error}); results are written all the same', stacklevel=2)
            self._writer.discard()

    def __enter__(self) -> _Overlay:
        return self

    def __exit__(self, exc_type: type[BaseException] | None, *_: object) -> None:
        if self._writer is None:
            return
        if exc_type is not None:
            self._writer.discard()
        elif self._error is not None:
            found = f'{self._writer.path} is missing ({self._error}); the results are written'
            raise VideoError(found) from self._error
        else:
            self._writer.close()


def stream_results(
    session: VideoSession, frames: Iterable[np.ndarray]
) -> Iterator[tuple[np.ndarray, FrameResult]]:
    """Yields every frame with its result, in order, as soon as that is final, and ends the session.

    Holds only the frames that aren't final yet.
    """
    pending: dict[int, np.ndarray] = {}
    for frame in frames:
        pending[session.num_frames] = frame
        for result in session.step(frame):
            yield pending.pop(result.frame_index), result
    for result in session.finish():
        yield pending.pop(result.frame_index), result


def draw_frame_result(
    frame: np.ndarray, result: FrameResult, classes: Sequence[str], score_thr: float = 0.3
) -> np.ndarray:
    """Draws one frame's objects whose score in that frame is at least ``score_thr``; see ``draw_instances``."""
    keep = [i for i, score in enumerate(result.scores) if score >= score_thr]
    return draw_instances(
        frame,
        [result.masks[i] for i in keep],
        [result.ids[i] for i in keep],
        [classes[result.labels[i]] for i in keep],
        [result.scores[i] for i in keep],
    )


def _open(model: nn.Module, source: str | Path | Iterable[np.ndarray], stride: int) -> FrameSource:
    if getattr(model, 'cfg', None) is None:
        raise ValueError('the model has no cfg: make it by maskprop.apis.init_model, or set model.cfg')
    return open_frames(source, stride, partial(mmcv.imread, **image_loader_options(model.cfg)))


def _with_progress(source: FrameSource, show: bool) -> Iterable[np.ndarray]:
    interval = 0.5 if sys.stderr.isatty() else 10.0  # seconds: few lines in log files
    return tqdm(source, source.name, source.num_frames, unit='frame', mininterval=interval, disable=not show)
