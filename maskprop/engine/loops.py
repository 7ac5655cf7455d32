"""Loops of the Runner for video: resumable training; validation and test video by video, streamed."""

from __future__ import annotations

import json
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.optim import ReduceOnPlateauParamScheduler, _ParamScheduler
from mmengine.optim.scheduler import MultiStepParamScheduler, StepParamScheduler
from mmengine.registry import LOOPS
from mmengine.runner import EpochBasedTrainLoop, Runner, TestLoop, ValLoop
from torch.utils.data import BatchSampler

from maskprop.datasets.ytvis_json import AnnotationError
from maskprop.engine.checkpoint import CheckpointError  # its import lets all checkpoints be loaded safely
from maskprop.engine.checks import check_num_classes, videos_of
from maskprop.engine.config import ConfigError
from maskprop.engine.frame_feed import FrameFeed
from maskprop.engine.fsdp import whole_parameters
from maskprop.engine.timing import StageClock
from maskprop.evaluation.results_io import name_categories
from maskprop.utils.quiet import FILE_ONLY
from maskprop.utils.random_state import preserve_random_state, seed_all, seeded
from maskprop.utils.text import plural


class ChangedSetupHook(Hook):
    """Keeps what a step, an epoch and the schedule are, and on ``--resume`` leaves out rates of others.

    mmengine loads learning rates and schedules over those of the config, also where the config's were changed, the
    rate was just scaled to another batch (``--auto-scale-lr``) or an epoch has another number of iterations now.
    Here they stay those of the config; :meth:`catch_up` then brings them to where the training is. The optimizer's
    state is loaded, unless it is of another type.
    """

    priority = 'VERY_HIGH'
    KEYS = ('iters_per_epoch', 'accumulative_counts', 'schedule')  # in the message hub, hence in checkpoints
    SCHEDULE = ('optim_wrapper', 'param_scheduler', 'auto_scale_lr')  # keys of the config

    def __init__(self) -> None:
        self._changes: list[str] = []

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        if not runner._resume or 'optimizer' not in checkpoint:  # weights only
            return
        _check_groups(runner, checkpoint['optimizer']['param_groups'])
        kept = (checkpoint.get('message_hub') or {}).get('runtime_info') or {}
        now = self._setup(runner)
        self._changes = _changes({key: kept[key] for key in now if key in kept}, now)
        if not self._changes:
            return
        saved_state = checkpoint['optimizer']
        if any(change.startswith('optim_wrapper.optimizer.type:') for change in self._changes):
            saved_state['state'] = {}
        groups = runner.optim_wrapper.optimizer.param_groups
        # not strict: loading sees whether they are as many
        for saved, fresh in zip(saved_state['param_groups'], groups, strict=False):
            saved.update((key, value) for key, value in fresh.items() if key != 'params')
        # one more group of mmengine's, without weights: the base_lr of the log
        saved_state.pop('base_param_settings', None)
        checkpoint['param_schedulers'] = [scheduler.state_dict() for scheduler in _schedulers(runner)]

    def keep(self, runner: Runner) -> None:
        """From now on checkpoints say what a step, an epoch and the schedule are."""
        for key, value in self._setup(runner).items():
            runner.message_hub.update_info(key, value)

    def catch_up(self, runner: Runner, epochs: int, iterations: int) -> None:
        """Bring the rates to where they would be now, had the training had this setup from its start.

        Args:
            epochs: that are done.
            iterations: that are done, those of the epochs among them.
        """
        if not self._changes:
            return
        # counted anew: losses are divided by the iterations of a step, which may be fewer in the last
        runner.optim_wrapper.initialize_count_status(runner.model, iterations, runner.max_iters)
        length = len(runner.train_dataloader)
        schedulers = [s for s in _schedulers(runner) if not isinstance(s, ReduceOnPlateauParamScheduler)]
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # the optimizer has made no step yet
            for iteration in range(1, iterations + 1):  # in the order of ParamSchedulerHook
                _step(s for s in schedulers if not s.by_epoch)
                if iteration % length == 0 and iteration <= epochs * length:
                    _step(s for s in schedulers if s.by_epoch)
        runner.logger.warning(
            f'Changed since the checkpoint was saved: {"; ".join(self._changes)}. Learning rates and schedules '
            "are this config's, as if the training had begun with it, at "
            f'{runner.optim_wrapper.optimizer.param_groups[0]["lr"]:.3g} now.'
        )

    def _setup(self, runner: Runner) -> dict[str, int | str]:
        schedule = {key: runner.cfg.get(key) for key in self.SCHEDULE}
        values = (
            len(runner.train_dataloader),
            runner.optim_wrapper._accumulative_counts,
            json.dumps(schedule, sort_keys=True, default=str),
        )
        return dict(zip(self.KEYS, values, strict=True))


def _check_groups(runner: Runner, saved: Sequence[Mapping[str, Any]]) -> None:
    before, now = (
        [len(group.get('params', ())) for group in groups]
        for groups in (saved, runner.optim_wrapper.optimizer.param_groups)
    )
    if before != now:
        raise CheckpointError(
            f'checkpoint {runner._load_from}: its optimizer has {_count_groups(before)}, that of this config '
            f'{_count_groups(now)}: were optim_wrapper.paramwise_cfg or the parts that are trained changed? '
            'Resume with the config of that training, or begin anew from its weights: --cfg-options load_from='
            f'{runner._load_from}'
        )


def _count_groups(sizes: Sequence[int]) -> str:
    return f'{plural(sum(sizes), "parameter")} in {plural(len(sizes), "group")}'


def _changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What of ``before`` differs now, as 'KEY: OLD, now NEW'; of the schedule by the keys of the config."""
    old, new = (
        {key: setup[key] for key in before if key != 'schedule'}
        | dict(_leaves(json.loads(setup['schedule'] if 'schedule' in before else '{}')))
        for setup in (before, now)
    )
    return [
        f'{key}: {old.get(key)}, now {new.get(key)}'
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key) and key != 'optim_wrapper.accumulative_counts'  # there without its prefix
    ]


def _leaves(value: Any, name: str = '') -> Iterator[tuple[str, Any]]:
    """(dotted key, value) of all that is not a dict or list of a config."""
    if not isinstance(value, dict | list):
        yield name, value
        return
    for key, child in value.items() if isinstance(value, dict) else enumerate(value):
        yield from _leaves(child, f'{name}.{key}' if name else str(key))


def _schedulers(runner: Runner) -> list[_ParamScheduler]:
    return list(runner.param_schedulers or [])


def _step(schedulers: Iterable[_ParamScheduler]) -> None:
    for scheduler in schedulers:
        scheduler.step()


def _take_whole_steps(schedulers: Iterable[_ParamScheduler]) -> None:
    """Round steps that fall between two iterations, as 4.75 epochs may: mmengine would never come to them."""
    for scheduler in schedulers:
        if isinstance(scheduler, MultiStepParamScheduler):
            scheduler.milestones = Counter(round(step) for step in scheduler.milestones.elements())
        elif isinstance(scheduler, StepParamScheduler):
            scheduler.step_size = max(round(scheduler.step_size), 1)


@LOOPS.register_module()
class VideoTrainLoop(EpochBasedTrainLoop):
    """Epoch-based training that resumes inside an epoch.

    A checkpoint saved by iteration (``CheckpointHook(by_epoch=False, interval=k)``) resumes at the very batch
    that was next: the sampler's ``start_at`` skips what was used without loading it. The data workers' seeds
    come from (seed, epoch) and not from the training's own random numbers, which therefore do not depend on
    where a training was interrupted. See :class:`~maskprop.engine.hooks.RandomStateHook`.
    """

    def __init__(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        super().__init__(runner, *args, **kwargs)
        if self.val_interval < 1:
            raise ConfigError(f'train_cfg.val_interval={self.val_interval}: expected 1 or more epochs')
        self._first_seed = runner.seed
        self._setup = ChangedSetupHook()
        runner.register_hook(self._setup)

    def run(self) -> torch.nn.Module:
        """Train."""
        length = len(self.dataloader)
        if length == 0:
            raise ValueError(
                'the training set gives no batch: it has no frames, or fewer than one batch for each process '
                'with drop_last=True. Lower batch_size or set drop_last=False'
            )
        check_num_classes(_unwrapped(self.runner), self.dataloader.dataset, 'train_dataloader.dataset')
        _take_whole_steps(_schedulers(self.runner))
        hub = self.runner.message_hub
        sampler = self.dataloader.sampler
        if self.runner.seed != self._first_seed == getattr(sampler, 'seed', None):
            sampler.seed = self.runner.seed  # resumed: the checkpoint's seed came after the sampler was built
        if self._iter == 0:
            # every process draws its own numbers, whatever was drawn before
            seed_all(self.runner.seed, get_rank(), 0)
        else:
            self._adapt_progress(hub.runtime_info.get('iters_per_epoch'), length)
            self._setup.catch_up(self.runner, self._epoch, self._iter)
        self._setup.keep(self.runner)
        if self._iter >= self._max_epochs * length:
            self.runner.logger.warning(
                f'Nothing is left to train: {plural(self._max_epochs, "epoch")} done. To go further: --epochs N; '
                'rates are then those of a training of N epochs'
            )
        return super().run()

    _iter: int  # of mmengine's loop
    _epoch: int

    def _adapt_progress(self, kept_length: int | None, length: int) -> None:
        """Convert the resumed iteration where epochs have another length now (processes, batch size)."""
        old_length = kept_length or length  # the checkpoint of another training loop does not say it
        done = self._iter - self._epoch * old_length
        if old_length == length and 0 <= done <= length:
            return
        done = int(min(max(done / old_length, 0), 1) * length)
        had = f'had {kept_length} iterations' if kept_length else f'did not have {length} iterations'
        self.runner.logger.warning(
            f'An epoch {had} when the checkpoint was saved and has {length} now (another '
            f'number of processes, batch size or data set): epoch {self._epoch + 1} continues at iteration '
            f'{done}, the same fraction of it, and some of its samples may come twice or not at all.'
        )
        self._iter = self._epoch * length + done

    def run_epoch(self) -> None:
        """One epoch, or what is left of it."""
        start = self._iter - self._epoch * len(self.dataloader)
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        for idx, data_batch in enumerate(self._batches(start), start):
            self.run_iter(idx, data_batch)
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1

    def _batches(self, start: int) -> Iterator[Any]:
        """The epoch's batches from the ``start``-th on."""
        loader = self.dataloader
        sampler = loader.sampler
        if hasattr(sampler, 'set_epoch'):
            sampler.set_epoch(self._epoch)
        skippable = hasattr(sampler, 'start_at') and type(loader.batch_sampler) is BatchSampler
        if skippable:
            if start == len(loader):
                return iter(())
            sampler.start_at(start * loader.batch_size)
        # Creating the iterator draws the workers' base seed.
        with seeded(self.runner.seed, self._epoch):
            batches = iter(loader)
        if skippable or start == 0:
            return batches
        self.runner.logger.warning(
            f'Resuming inside an epoch: {start} batches are loaded and thrown away, because '
            f'{type(sampler).__name__} cannot start later. Use SeededFrameSampler to avoid that.'
        )
        return islice(batches, start, None)


def _unwrapped(runner: Runner) -> Any:
    """The model, out of a wrapper for several processes."""
    return runner.model.module if is_model_wrapper(runner.model) else runner.model


@dataclass
class _OpenVideo:
    """The video whose frames are arriving."""

    video_id: int
    length: int  # frames
    feed: FrameFeed
    img_paths: list[str] = field(default_factory=list)


class _VideoLoop:
    """What validation and test share: frames in, whole videos out.

    The data loader gives one frame at a time, the frames of a video together and in order
    (``VideoFrameSampler``). Each goes to the video's :class:`~maskprop.engine.frame_feed.FrameFeed`; after a
    video's last frame its results go to the evaluator, so memory does not grow with the number of videos' frames.
    The hooks
    ``before_*_iter`` and ``after_*_iter`` run once a frame (so mmengine's ETA is right), the latter with
    ``outputs=None`` or, at a video's last frame, ``dict(video_id, results, img_paths)``.
    """

    mode: str  # 'val' or 'test'
    # of mmengine's loop, which stands beside this class
    runner: Any
    dataloader: Any
    evaluator: Any
    fp16: bool

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.dataloader.batch_size not in (1, None):
            raise ConfigError(
                f'{self.mode}_dataloader.batch_size={self.dataloader.batch_size}: expected 1, videos are '
                'read one frame at a time (model.frames_at_once says how many are computed together)'
            )

    def run(self) -> dict:
        """Run over all videos of this process, then evaluate (together with all processes).

        Returns:
            The evaluator's metrics. :attr:`clock` has the time of each stage.
        """
        check_num_classes(_unwrapped(self.runner), self.dataloader.dataset, f'{self.mode}_dataloader.dataset')
        self._video: _OpenVideo | None = None
        self._listed = videos_of(self.dataloader.dataset)
        self.clock = StageClock()
        call_hook, mode = self.runner.call_hook, self.mode
        with preserve_random_state(), torch.no_grad():
            call_hook(f'before_{mode}')
            call_hook(f'before_{mode}_epoch')
            self.runner.model.eval()
            with whole_parameters(self.runner.model):
                frames = self._process_frames()
            self._check_closed()
            with self.clock('evaluation'):
                metrics = self.evaluator.evaluate(len(self.dataloader.dataset))
            self.runner.logger.info(self.clock.summary(frames), extra=FILE_ONLY)
            call_hook(f'after_{mode}_epoch', metrics=metrics)
            call_hook(f'after_{mode}')
        return metrics

    def _process_frames(self) -> int:
        mode, frames = self.mode, 0
        for idx, batch in enumerate(self.clock.iterate('data', self.dataloader)):
            self.runner.call_hook(f'before_{mode}_iter', batch_idx=idx, data_batch=batch)
            outputs = self._process_frame(batch)
            self.runner.call_hook(f'after_{mode}_iter', batch_idx=idx, data_batch=batch, outputs=outputs)
            frames += 1
        return frames

    def _process_frame(self, batch: dict) -> dict | None:
        inputs, samples = batch['inputs'], batch['data_samples']
        if len(inputs) != 1 or len(inputs[0]) != 1:
            raise ValueError(
                f'videos are processed one frame at a time, but a batch has {len(inputs)} samples of '
                f"{len(inputs[0])} frames: set sampler=dict(type='VideoFrameSampler') in {self.mode}_dataloader"
            )
        with self.clock('model'):
            meta = samples[0][0].metainfo
            if self._video is None:
                self._check_size(meta)
                feed = FrameFeed(_unwrapped(self.runner), self.fp16)
                self._video = _OpenVideo(meta['video_id'], meta['ori_video_length'], feed)
            video = self._video
            if meta['video_id'] != video.video_id:
                self._check_closed(f'then one of video {meta["video_id"]} came')
            video.feed.step(batch)
            video.img_paths.append(meta['img_path'])
            if len(video.img_paths) < video.length:
                return None
            video.feed.finish()
            meta = self.dataloader.dataset.metainfo
            results = video.feed.stream.video_instances().to_results(video.video_id, meta['category_ids'])
            names = dict(zip(meta['category_ids'], meta['classes'], strict=True))
            results = list(name_categories(results, names))
        self._video = None
        with self.clock('metric'):
            self.evaluator.process([dict(video_id=video.video_id, results=results)], batch)
        return dict(video_id=video.video_id, results=results, img_paths=video.img_paths)

    def _check_size(self, meta: dict) -> None:
        size, listed = tuple(meta['ori_shape'][:2]), self._listed[meta['video_id']][0]
        if size != listed:
            raise AnnotationError(
                f'{meta["img_path"]}: video {meta["video_id"]}: the image is {size[1]} x {size[0]}, but the '
                f'annotation file says {listed[1]} x {listed[0]} (width x height), so no result would be valid; '
                'maskprop check GT.json --images DIR lists all such frames'
            )

    def _check_closed(self, then: str = 'then no more frame came') -> None:
        video = self._video
        if video is not None:
            raise ValueError(
                f'video {video.video_id}: {len(video.img_paths)} of its {video.length} frames came, {then}. A '
                f'video must come whole: use VideoFrameSampler in {self.mode}_dataloader'
            )


@LOOPS.register_module()
class VideoValLoop(_VideoLoop, ValLoop):
    """Validation during training; see :class:`_VideoLoop`. Random states are afterwards as before."""

    mode = 'val'


@LOOPS.register_module()
class VideoTestLoop(_VideoLoop, TestLoop):
    """Test; see :class:`_VideoLoop`."""

    mode = 'test'
