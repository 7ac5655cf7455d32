"""Video AP and the other numbers of results as an mmengine metric, and the writing of submissions."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from mmdet.registry import METRICS
from mmengine.dist import all_gather_object, broadcast_object_list, is_main_process
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger, print_log

from .detections import MIN_SCORE, check_min_score
from .ground_truth import load_frames, load_ground_truth
from .results_io import write_results, write_submission
from .scoring import DEFAULT_METRICS, check_metrics, score_results
from .validation import fail

#: Keys of earlier versions, and what stands in their place.
_MOVED = dict(stability="metrics, such as ['video_ap']", stability_min_score='min_score')


@METRICS.register_module()
class YTVISMetric(BaseMetric):
    """Scores whole videos, by video AP and what else is asked for, and writes results files and submissions.

    ``process`` takes one dict per finished video: ``video_id`` and ``results``, that video's records of a
    YouTube-VIS submission. Videos may be spread over the ranks in any way, unevenly too; the outcome is that of a
    single process. ``ann_file`` is read and checked when the metric is built, before any inference.

    Args:
        ann_file: Annotation file in YouTube-VIS format.
        frame_stride: The data set's key: only frames 0, s, 2s, ... are evaluated.
        frame_range: The data set's key: only this part of every video is evaluated.
        class_agnostic: Take all categories as one.
        format_only: Write results, do not score them: for sets without annotations.
        outfile_prefix: Results go to ``{outfile_prefix}.json``.
        submission: Path of a zip for the YouTube-VIS server.
        metrics: What to measure, of ``scoring.METRICS``: 'video_ap', 'stability', 'hota', 'clear', 'identity'.
            Their numbers of the whole set are returned, so they can choose the best checkpoint; those of the
            temporal stability are only printed and kept in ``last_result``.
        min_score: Predictions of a lower score take part in video AP only.
        prefix: Put before the names of the metrics, with a slash; None for none.

    Raises:
        EvalInputError: If ``ann_file`` cannot be evaluated; without annotations, the message says what to do.
        ValueError: If ``format_only`` comes without a file to write, ``metrics`` has an unknown name,
            ``min_score`` is not finite, or a key is of an earlier version.
    """

    results: list[tuple[int, list[dict]]]  # of mmengine's metric

    def __init__(
        self,
        ann_file: str,
        frame_stride: int = 1,
        frame_range: tuple[float, float] = (0.0, 1.0),
        class_agnostic: bool = False,
        format_only: bool = False,
        outfile_prefix: str | None = None,
        submission: str | None = None,
        collect_device: str = 'cpu',
        prefix: str | None = None,
        metrics: Sequence[str] = DEFAULT_METRICS,
        min_score: float = MIN_SCORE,
        **gone: Any,
    ) -> None:
        _refuse(gone)
        super().__init__(collect_device=collect_device, prefix=prefix or 'video AP')
        self.prefix = prefix  # the base class would warn of None, but the names need no prefix
        if format_only and not (outfile_prefix or submission):
            raise ValueError('format_only=True writes results and nothing else: give outfile_prefix or submission')
        self.ann_file = str(ann_file)
        self.class_agnostic = class_agnostic
        self.format_only = format_only
        self.outfile_prefix = outfile_prefix
        self.submission = submission
        self.metrics = check_metrics(metrics)
        self.min_score = check_min_score(min_score)
        truth = (load_frames if format_only else load_ground_truth)(ann_file, frame_stride, frame_range)
        found = {video.id: (video.size, video.length) for video in truth.videos}
        self._frames = {video: found[video] for video in truth.file_order}
        self._truth = truth if is_main_process() and not format_only else None
        self._order = {video: index for index, video in enumerate(self._frames)}

    def check_videos(self, videos: Mapping[int, tuple[tuple[int, int], int]]) -> None:
        """See before any inference that results of these videos can be evaluated.

        Args:
            videos: {video id: ((height, width), frames)} of the data set.

        Raises:
            EvalInputError: A video is not in ``ann_file``, or has another size or number of frames there.
        """
        for video, (size, length) in videos.items():
            if video not in self._frames:
                self._fail_unknown(video, 'has')
            known_size, known_length = self._frames[video]
            if length != known_length:
                fail(
                    self.ann_file,
                    f'video {video}',
                    'frame_stride',
                    f'the data set uses {length} of its frames, the metric {known_length}',
                    'Give evaluator and data set the same ann_file, frame_stride and frame_range',
                )
            if tuple(size) != tuple(known_size):
                fail(
                    self.ann_file,
                    f'video {video}',
                    'height, width',
                    f"{size[0]} x {size[1]} in the data set's file, {known_size[0]} x {known_size[1]} in this one",
                    'Give evaluator and data set the same ann_file',
                )

    def _fail_unknown(self, video: int, verb: str) -> NoReturn:
        fail(
            self.ann_file,
            '',
            'videos',
            f'the data set {verb} video {video}, which is not in this file',
            'Give the metric the ann_file of the test data set',
        )

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Take finished videos: dicts with ``video_id`` and ``results``."""
        self.results.extend((sample['video_id'], list(sample['results'])) for sample in data_samples)

    def evaluate(self, size: int) -> dict[str, float]:
        """Gather the videos of all ranks, write and score them.

        mmengine's own collection zips the ranks' lists and cuts them to ``size``, which loses videos when ranks
        have unequal numbers of them; ``size`` is not used here.
        """
        parts = all_gather_object(self.results)
        self.results = []
        outcome: list[Any] = [None]
        if is_main_process():
            try:
                outcome = [self.compute_metrics([video for part in parts for video in part])]
            except Exception as error:  # told to all ranks: they would wait for this one for ever
                outcome = [error]
        broadcast_object_list(outcome)
        if isinstance(outcome[0], Exception):
            raise outcome[0]
        return {f'{self.prefix}/{name}' if self.prefix else name: value for name, value in outcome[0].items()}

    def compute_metrics(self, results: list[tuple[int, list[dict]]]) -> dict[str, float]:
        """Write the files asked for; the numbers of the whole set by name, or nothing with ``format_only``.

        Args:
            results: (video id, records) of every video, in any order.
        """
        records = self._in_file_order(results)
        failed = self._write(records)
        if self.format_only:
            if failed:
                raise failed
            return {}
        if not records:
            _warn('no object was found in any video')
        assert self._truth is not None, 'read where there is something to score'
        result = score_results(
            self._truth,
            records,
            metrics=self.metrics,
            class_agnostic=self.class_agnostic,
            min_score=self.min_score,
            results_name="the model's results",
            allow_empty=True,
        )
        self.last_result = result  # maskprop test takes the per-category AP and the stability from here
        MMLogger.get_current_instance().info('\n' + result.table())
        if failed:
            raise failed
        return dict(result.metrics)

    def _write(self, records: list[dict]) -> OSError | None:
        """Write the files asked for. Returns the error of one that can't be: the other and the scores go on.

        If none can be, the results are written to a folder of temporary files, and the error says where.
        """
        results = f'{self.outfile_prefix}.json' if self.outfile_prefix else None
        failed, written = None, 0
        for write, path in ((write_results, results), (write_submission, self.submission)):
            if not path:
                continue
            try:
                write(path, records)
                written += 1
                print_log(f'written: {path}', logger='current')
            except OSError as error:
                failed = error
                _warn(f'{path} could not be written: {error}')
        if failed and not written:
            return OSError(f'{failed}. {_rescue(records)}')
        return failed

    def _in_file_order(self, results: list[tuple[int, list[dict]]]) -> list[dict]:
        """All records, videos in the order of the annotation file whatever rank they come from."""
        by_video: dict[int, list[dict]] = {}
        for video, records in results:
            if video not in self._order:
                self._fail_unknown(video, 'gave')
            by_video.setdefault(video, records)  # a sampler may pad with videos seen before
        missing = len(self._order) - len(by_video)
        if missing:
            _warn(
                f'{missing} of the {len(self._order)} videos of {self.ann_file} were not processed: they count as '
                'videos in which nothing was found'
            )
        ordered = sorted(by_video, key=self._order.__getitem__)
        return [record for video in ordered for record in by_video[video]]


def _refuse(keys: Mapping[str, Any]) -> None:
    for key in keys:
        if key in _MOVED:
            raise ValueError(f'YTVISMetric has no key {key} any more: set {_MOVED[key]}')
        raise TypeError(f"YTVISMetric.__init__() got an unexpected keyword argument '{key}'")


def _rescue(records: list[dict]) -> str:
    """Write results, of hours of inference maybe, where there may be room; says where."""
    folder = Path(tempfile.mkdtemp(prefix='maskprop_'))
    try:
        write_results(folder / 'results.json', records)
    except OSError as error:
        folder.rmdir()
        return f'The results are lost, as {folder.parent} cannot take them either ({error.strerror})'
    return f'The results are in {folder / "results.json"}'


def _warn(message: str) -> None:
    print_log(message, logger='current', level=logging.WARNING)
