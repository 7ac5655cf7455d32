"""A video in progress: frames in one at a time, results out as they become final."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from torch import nn

from maskprop.apis.frames import VideoError, check_frame
from maskprop.datasets.resized import unusable_resize
from maskprop.engine.frame_feed import FrameFeed
from maskprop.evaluation.results_io import name_categories

if TYPE_CHECKING:
    from maskprop.structures import FrameResult


class VideoSession:
    """Runs a model on one video, frame by frame, with the test pipeline of its config.

    Results are those of ``maskprop test`` on the same frames. Raw frames are not kept: the objects'
    encoded masks go to a temporary file once there are many (see
    :class:`~maskprop.tracking.video_instances.VideoInstances`), so a long video needs no more memory than a short
    one if its results are taken from :meth:`iter_results`. One session is one video; make a new one for the next.

    Args:
        model: from :func:`~maskprop.apis.init_model`; in eval mode. Anything else with ``cfg``,
            ``dataset_meta``, ``data_preprocessor`` and ``start_video()`` will do.
        live: frames come as they are filmed: each is computed as it comes, so that results come out as early as
            they can. By default a GPU computes several at once (``model.frames_at_once``), which is faster.

    Example:
        >>> session = VideoSession(model)
        >>> for frame in camera:
        ...     for result in session.step(frame):
        ...         print(result.frame_index, result.ids, result.class_names)
        >>> last = session.finish()
        >>> results = session.results()
    """

    def __init__(self, model: nn.Module, live: bool = False) -> None:
        if getattr(model, 'cfg', None) is None or getattr(model, 'dataset_meta', None) is None:
            raise ValueError(
                'the model has no cfg or dataset_meta: make it by maskprop.apis.init_model, or set both'
            )
        if model.training:
            raise ValueError('the model is in training mode: call model.eval() first')
        self._model = model
        self._pipeline = frame_pipeline(model.cfg)
        fp16 = bool((model.cfg.get('test_cfg') or {}).get('fp16', False))
        at_once = live and hasattr(getattr(model, 'stream', None), 'frames_at_once')
        self._feed = FrameFeed(model, fp16, **(dict(frames_at_once=1) if at_once else {}))
        self._shape: tuple[int, ...] | None = None
        self._finished = False
        self.num_frames = 0  # so far

    @torch.no_grad()
    def step(self, frame: np.ndarray) -> list[FrameResult]:
        """Takes the next frame.

        Args:
            frame: (h, w, 3) uint8, BGR (as OpenCV reads), of the size of the video's first frame. May be reused
                by the caller afterwards.

        Returns:
            The frames that are final now, in order, with class names: none at first, then mostly one, of an
            earlier frame.

        Raises:
            TypeError, VideoError: not such a frame; the session can go on with the next one.
            RuntimeError: after :meth:`finish`.
        """
        if self._finished:
            raise RuntimeError('this session has finished: make a new VideoSession for the next video')
        check_frame(frame, self._shape, f'frame {self.num_frames}')
        if self._shape is None and (fault := unusable_resize(self._pipeline.transforms, *frame.shape[:2])):
            raise VideoError(f"the video's {fault}")
        packed = self._pipeline(_frame_record(frame, self.num_frames))
        final = self._feed.step(pseudo_collate([packed]))
        self._shape = frame.shape
        self.num_frames += 1
        return self._with_class_names(final)

    @torch.no_grad()
    def finish(self) -> list[FrameResult]:
        """Ends the video.

        Returns:
            The frames that weren't final yet, in order.

        Raises:
            VideoError: no frame came.
            RuntimeError: called twice.
        """
        if self._finished:
            raise RuntimeError('this session has finished already')
        if self.num_frames == 0:
            raise VideoError('the video is empty: no frame came before finish()')
        self._finished = True
        return self._with_class_names(self._feed.finish())

    def results(self, video_id: int = 1) -> list[dict[str, Any]]:
        """The whole video's results in the YouTube-VIS format, all at once; see :meth:`iter_results`."""
        return list(self.iter_results(video_id))

    def iter_results(self, video_id: int = 1) -> Iterator[dict[str, Any]]:
        """The whole video's results in the YouTube-VIS format, one by one.

        Args:
            video_id: written into each record.

        Returns:
            Records {video_id, category_id, category_name, score, segmentations, track_id}; segmentations has an
            RLE or None a frame.

        Raises:
            RuntimeError: before :meth:`finish`.
        """
        if not self._finished:
            raise RuntimeError('call finish() before results(): the last frames are not final yet')
        meta = self._model.dataset_meta
        records = self.stream.video_instances().iter_results(video_id, meta['category_ids'])
        return name_categories(records, dict(zip(meta['category_ids'], meta['classes'], strict=True)))

    @property
    def stream(self) -> Any:
        """The model's state of this video."""
        return self._feed.stream

    def _with_class_names(self, results: list[FrameResult]) -> list[FrameResult]:
        classes = self._model.dataset_meta['classes']
        for result in results:
            result.class_names = [classes[label] for label in result.labels]
        return results


def frame_pipeline(cfg: Config) -> Compose:
    """The test pipeline of a config, fed with arrays; annotations aren't loaded, all else is as in a test."""
    from mmdet.registry import TRANSFORMS
    from mmdet.utils import get_test_pipeline_cfg

    steps = _fed_with_arrays(deepcopy(get_test_pipeline_cfg(cfg)))
    return Compose([TRANSFORMS.build(step) for step in steps])


def image_loader_options(cfg: Config) -> dict[str, Any]:
    """Keywords of ``mmcv.imread`` that read as the test pipeline's LoadImageFromFile does."""
    from mmdet.utils import get_test_pipeline_cfg

    loader = next((s for s in _flat(get_test_pipeline_cfg(cfg)) if _is_loader(s)), {})
    return dict(flag=loader.get('color_type', 'color'), backend=loader.get('imdecode_backend', 'cv2'))


def _fed_with_arrays(steps: list[dict]) -> list[dict]:
    if not any(_is_loader(step) for step in _flat(steps)):
        raise ValueError('the test pipeline has no LoadImageFromFile, so it is not known where frames go in')
    return _replace_loaders(steps)


def _replace_loaders(steps: list[dict]) -> list[dict]:
    kept = []
    for step in steps:
        if _is_loader(step):
            step = dict(step, type='mmdet.LoadImageFromNDArray')
        elif _name(step).startswith('Load') and 'Annotations' in _name(step):
            continue
        elif 'transforms' in step:
            step = dict(step, transforms=_replace_loaders(step['transforms']))
        kept.append(step)
    return kept


def _flat(steps: list[dict]) -> list[dict]:
    return [leaf for step in steps for leaf in (_flat(step['transforms']) if 'transforms' in step else [step])]


def _is_loader(step: dict) -> bool:
    return _name(step) == 'LoadImageFromFile'


def _name(step: dict) -> str:
    return str(step['type']).rsplit('.', 1)[-1]


def _frame_record(frame: np.ndarray, index: int) -> dict[str, list]:
    """What a video data set gives its test pipeline for one frame; the video's length is not known yet."""
    height, width = frame.shape[:2]
    return dict(
        img=[frame], img_path=[None], img_id=[index], frame_id=[index], video_id=[1], video_length=[1],
        ori_video_length=[None], height=[height], width=[width], instances=[[]],
    )  # fmt: skip
