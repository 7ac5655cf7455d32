"""Whole videos: from Python, and with files written as ``maskprop infer`` does."""

from __future__ import annotations

import time
import warnings
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mmcv
import numpy as np
from torch import nn

from maskprop.apis.frames import FrameSource, VideoError, open_frames
from maskprop.apis.interruption import StopOnInterrupt
from maskprop.apis.newest_frames import NewestFrames
from maskprop.apis.saved_formats import save_results
from maskprop.apis.session import VideoSession, image_loader_options
from maskprop.apis.thresholds import explain_empty
from maskprop.apis.video_arguments import RESULTS_NAME, VIDEO_NAME, check_outputs, check_scale
from maskprop.apis.video_report import Tally, VideoReport
from maskprop.datasets.formats import VideoInfo
from maskprop.datasets.ytvis_json import AnnotationError
from maskprop.evaluation.results_io import write_results
from maskprop.utils.progress import progress_bar
from maskprop.visualization.overlay import draw_instances
from maskprop.visualization.video_writer import VideoWriter

if TYPE_CHECKING:
    from maskprop.structures import FrameResult

_FRAMES_TO_DRAW = 8  # that may wait for the overlay
Source = str | Path | int | Iterable[np.ndarray] | FrameSource


def inference_video(
    model: nn.Module,
    frames_or_path: Source,
    *,
    frame_stride: int = 1,
    every_frame: bool = False,
    video_id: int = 1,
    progress: bool = False,
) -> list[dict[str, Any]]:
    """Runs a model on a video, streamed; Ctrl-C ends a camera or stream, and gives its results so far.

    Args:
        model: from :func:`~maskprop.apis.init_model`.
        frames_or_path: a video file, a folder of images (in natural order), a camera's index or an address (see
            :func:`~maskprop.apis.frames.open_frames`), or (h, w, 3) uint8 BGR arrays: a list, a (T, h, w, 3) array
            or a generator.
        frame_stride: take frames 0, s, 2s, ...
        every_frame: take every frame of a camera or stream, late if need be. Else a model that is slower than the
            source gets the newest frame each time, and others are left out. Of files every frame is always taken.
        video_id: written into each record.
        progress: show frames done and the time left on stderr.

    Returns:
        YouTube-VIS result records, equal to those of ``maskprop test`` on the same frames.

    Raises:
        FileNotFoundError, TypeError, VideoError: as :func:`~maskprop.apis.frames.open_frames` and
            :meth:`VideoSession.step`; an empty video.
    """
    source = _open(model, frames_or_path, frame_stride)
    session = VideoSession(model, source.live)
    with _frames(source, progress, _newest(source, every_frame)) as frames:
        for frame in frames:
            session.step(frame)
    session.finish()
    return session.results(video_id)


def infer_video_to_folder(
    model: nn.Module,
    frames_or_path: Source,
    out_dir: str | Path,
    *,
    score_thr: float = 0.3,
    frame_stride: int = 1,
    every_frame: bool = False,
    write_video: bool = True,
    upscale: int | None = 1,
    save: Sequence[str] = (),
    progress: bool = True,
) -> VideoReport:
    """As :func:`inference_video`, but writes ``results.json`` and ``overlay.mp4`` into a folder.

    The overlay is drawn as frames become final and results are written one by one, so memory does not grow with
    the video. A camera or stream is ended by Ctrl-C (or SIGTERM), and its files are then written as ever.

    Args:
        model, frames_or_path, frame_stride, every_frame, progress: as in :func:`inference_video`.
        out_dir: the folder; made if missing. Each file appears when it is whole.
        score_thr: objects whose score in a frame is lower are not drawn there; results.json has them all.
        write_video: write ``overlay.mp4``: H.264 where PyAV is installed, else MPEG-4. In place of frames that
            were left out it repeats the next one, so that it plays as fast as the source.
        upscale: whole factor by which the overlay is larger than the video; None: as makes a small one readable.
            Its frames may have 67 million pixels, 8192x8192, at most.
        save: further formats, of the objects whose score in results.json is ``score_thr`` or more: ``'masks'``,
            ``'mots'``, ``'coco'``, ``'csv'``, see :mod:`maskprop.apis.saved_formats`. Needs memory for all masks.

    Returns:
        What was found, how long it took and the files that were written; ``str()`` of it is for people.

    Raises:
        OSError: as :func:`~maskprop.utils.files.check_writable`, before the first frame; a file would replace
            the video.
        ValueError: ``save`` names an unknown format.
        VideoError: the overlay or a further format could not be drawn or written; raised when all else is written.
        FileNotFoundError, TypeError, VideoError: as :func:`inference_video`.
    """
    out_dir = Path(out_dir)
    read = [frames_or_path] if isinstance(frames_or_path, (str, Path)) else []
    check_outputs(out_dir, write_video, save, 'out_dir', read)
    source = _open(model, frames_or_path, frame_stride)
    check_scale(source, upscale if write_video else 1)
    session, tally, began = VideoSession(model, source.live), Tally(score_thr), time.perf_counter()
    report = VideoReport(source.name, score_thr, files=[out_dir / RESULTS_NAME])
    writer = VideoWriter(out_dir / VIDEO_NAME, source.fps) if write_video else None
    failed: list[Exception] = []
    newest = _newest(source, every_frame)
    with _Overlay(writer, score_thr, upscale) as overlay:
        with _frames(source, progress, newest) as frames:
            for frame, result in stream_results(session, frames):
                overlay.add(frame, result, 1 + (newest.pop_left_out(result.frame_index) if newest else 0))
                tally.add(frame, result)
        try:
            report.num_results = write_results(out_dir / RESULTS_NAME, session.iter_results())
        except OSError as error:  # of a full disk: the overlay, which is on its way, makes room
            overlay.give_up(error)
            report.num_results = write_results(out_dir / RESULTS_NAME, session.iter_results())
        try:  # neither costs the other
            report.files += _save(model, session, source, tally, out_dir, save, score_thr)
        except (AnnotationError, OSError) as error:
            failed.append(error)
    failed += [] if overlay.error is None else [overlay.error]
    if failed:
        found = '; '.join(map(str, failed))
        raise VideoError(f'{found}. {out_dir / RESULTS_NAME} is written') from failed[0]
    report.seconds, report.num_frames = time.perf_counter() - began, tally.num_frames
    report.objects, report.best_score = tally.objects(), tally.best_score
    report.notes += _notes(model, tally, report) + _notes_of_live(source, report, newest)
    if writer is not None:
        report.files.insert(1, writer.path)
        if writer.codec != 'h264':
            report.notes.append(
                f'{VIDEO_NAME} is MPEG-4 ({writer.codec}), which browsers do not play; with PyAV (pip install '
                '"maskprop[video]") it is H.264'
            )
    return report


def _save(
    model: nn.Module,
    session: VideoSession,
    source: FrameSource,
    tally: Tally,
    out_dir: Path,
    save: Sequence[str],
    score_thr: float,
) -> list[Path]:
    if not save:
        return []
    meta = model.dataset_meta
    classes = dict(zip(meta['category_ids'], meta['classes'], strict=True))
    names = source.file_names or [f'{t:05d}.jpg' for t in range(tally.num_frames)]
    info = VideoInfo(source.name, *tally.size, [f'{source.name}/{name}' for name in names])
    return save_results(out_dir, save, session.iter_results(), info, classes, score_thr)


def _notes(model: nn.Module, tally: Tally, report: VideoReport) -> list[str]:
    """What a user asks who sees nothing."""
    if tally.sample is not None:
        return ['nothing was found: ' + explain_empty(model, tally.sample[1], tally.sample[0])]
    if report.num_results == 0:
        least = (model.cfg.get('model') or {}).get('min_frames', 1)
        return [f'results.json is empty: no object was in model.min_frames={least} frames or more']
    if not report.objects:
        return [
            f'nothing is drawn: the highest score in any frame is {report.best_score:.2g}, below --score-thr '
            f'{report.score_thr:g}; results.json has {report.num_results} results'
        ]
    return []


def _notes_of_live(source: FrameSource, report: VideoReport, newest: NewestFrames | None) -> list[str]:
    """What became of the frames of a source that was faster than the model."""
    rate = report.num_frames / report.seconds
    rates = f'the source sends {source.fps:.3g} frames/s and {rate:.2g} could be taken'
    if newest is not None and newest.left_out:
        came = report.num_frames + newest.left_out
        return [
            f'{newest.left_out} of {came} frames were left out ({rates}): each time the newest was taken. '
            '--frame-stride leaves out a fixed number; --every-frame none, but falls behind'
        ]
    if source.live and newest is None and rate < 0.8 * source.fps:
        return [f'{rates}, so that frames came late or were lost; --frame-stride takes fewer']
    return []


def _newest(source: FrameSource, every_frame: bool) -> NewestFrames | None:
    return NewestFrames(source, source.fps) if source.live and not every_frame else None


@contextmanager
def _frames(source: FrameSource, progress: bool, newest: NewestFrames | None) -> Iterator[Iterable[np.ndarray]]:
    """The frames with a progress bar; those of a live source until it is interrupted."""
    if not source.live:
        yield _with_progress(source, source, progress)
        return
    with StopOnInterrupt() as interrupt:
        frames = iter(source if newest is None else newest)
        try:
            yield _with_progress(interrupt.until_stopped(frames), source, progress)
        finally:
            if isinstance(frames, Generator):  # which releases the camera
                frames.close()


class _Overlay:
    """Writes the overlay, which never costs results: ``error`` is what it failed with, or None.

    Frames are drawn and encoded in a thread of their own, while the model computes the next ones.
    """

    def __init__(self, writer: VideoWriter | None, score_thr: float, upscale: int | None) -> None:
        self._writer, self._score_thr, self._upscale = writer, score_thr, upscale
        self._thread = ThreadPoolExecutor(1, 'overlay')
        self._waiting: deque[Future] = deque()
        self.error: VideoError | None = None

    def add(self, frame: np.ndarray, result: FrameResult, times: int = 1) -> None:
        """Draw a frame, which is shown that many times; it must not be changed afterwards."""
        if self._writer is None or self.error is not None:
            return
        self._waiting.append(self._thread.submit(self._draw, self._writer, frame, result, times))
        if len(self._waiting) > _FRAMES_TO_DRAW:  # so that memory does not grow where drawing is slower
            self._waiting.popleft().result()

    def give_up(self, error: Exception) -> None:
        """Delete what there is of the overlay, because of an error elsewhere."""
        self._thread.shutdown(cancel_futures=True)
        if self._writer is not None:
            self.error = self.error or self._failure(self._writer, error)
            self._writer.discard()

    def _draw(self, writer: VideoWriter, frame: np.ndarray, result: FrameResult, times: int) -> None:
        if self.error is not None:
            return
        try:
            drawn = draw_frame_result(frame, result, self._score_thr, self._upscale)
            for _ in range(times):
                writer.write(drawn)
        except Exception as error:  # of codecs, disks, fonts
            self.error = self._failure(writer, error)
            warnings.warn(f'{self.error}; results are written all the same', stacklevel=2)

    def __enter__(self) -> _Overlay:
        return self

    def __exit__(self, exc_type: type[BaseException] | None, *_: object) -> None:
        self._thread.shutdown(cancel_futures=exc_type is not None)
        if self._writer is None:
            return
        if exc_type is not None or self.error is not None:
            self._writer.discard()
            return
        try:
            self._writer.close()
        except Exception as error:  # as above
            self.error = self._failure(self._writer, error)

    @staticmethod
    def _failure(writer: VideoWriter, error: Exception) -> VideoError:
        words = str(error).removeprefix(f'{writer.path}: ')
        return VideoError(f'{writer.path} cannot be written ({words})')


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
    frame: np.ndarray, result: FrameResult, score_thr: float = 0.3, upscale: int | None = 1
) -> np.ndarray:
    """Draws one frame's objects whose score in that frame is at least ``score_thr``; see ``draw_instances``.

    ``result`` is of a :class:`~maskprop.apis.session.VideoSession`, so that it has class names.
    """
    keep = [i for i, score in enumerate(result.scores) if score >= score_thr]
    return draw_instances(
        frame,
        [result.masks[i] for i in keep],
        [result.ids[i] for i in keep],
        [result.class_names[i] for i in keep],
        [result.scores[i] for i in keep],
        upscale=upscale,
    )


def _open(model: nn.Module, source: Source, stride: int) -> FrameSource:
    if getattr(model, 'cfg', None) is None:
        raise ValueError('the model has no cfg: make it by maskprop.apis.init_model, or set model.cfg')
    return open_frames(source, stride, partial(mmcv.imread, **image_loader_options(model.cfg)))


def _with_progress(frames: Iterable[np.ndarray], source: FrameSource, show: bool) -> Iterable[np.ndarray]:
    return progress_bar(frames, desc=source.name, total=source.num_frames, unit='frame', disable=not show)
