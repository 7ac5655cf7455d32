"""The jobs of a study, each with a folder of its own, in the order in which they can be done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from math import ceil
from pathlib import Path
from typing import Any
from uuid import uuid4

from mmengine.config import Config
from mmengine.utils import get_git_hash

from maskprop.ablation.checks import check_row, check_whole, read_whole, without_effect
from maskprop.ablation.settings import files_key, settings_key, test_settings, training_settings, whole_batch
from maskprop.ablation.study import DEFAULT_SET, Row, Study, Training, slug
from maskprop.datasets.json_files import read_json
from maskprop.datasets.ytvis_json import frame_indices
from maskprop.engine.config import ConfigError, frozen_without_weights, merge_options
from maskprop.engine.config_types import check_types
from maskprop.utils.files import write_json
from maskprop.utils.json_values import parse_json

LEVELS = ('set', 'detector', 'pretraining', 'heads', 'test', 'table')
TRAININGS = ('detector', 'pretraining', 'heads')
SYNTHETIC_FRAMES = 36  # a clip


@dataclass
class Job:
    """One thing to do.

    Attributes:
        level: of ``LEVELS``; a job needs jobs of earlier levels only.
        folder: gets what it makes, and ``job.json`` when it is done.
        settings: all that defines it; equal settings, equal output.
        needs: the jobs before it.
        details: what its runner takes, see ``maskprop/ablation/work.py``.
        units: how much there is to do: videos, steps, frames x rows; None: not known.
        rate: name of the measured seconds a unit.
    """

    level: str
    folder: Path
    settings: dict[str, Any]
    needs: list[Job] = field(default_factory=list, repr=False)
    details: dict[str, Any] = field(default_factory=dict, repr=False)
    units: float | None = None
    rate: str = ''

    @property
    def name(self) -> str:
        """Its folder, seen from the folder of all studies."""
        return self.details['name']

    @property
    def key(self) -> str:
        """Stands for the settings."""
        return settings_key(self.settings)

    def record(self) -> dict[str, Any]:
        """What ``job.json`` says; empty without one, and of one that is damaged."""
        return read_record(self.folder / 'job.json')

    def is_done(self) -> bool:
        """Whether its output is there, of these settings and of what it needs as that is now."""
        record = self.record()
        if not record.get('done') or not self.fits(record) or not all(path.is_file() for path in self.outputs()):
            return False
        # a set is known by its contents, also while it is checked or made again
        return all(need.is_done() for need in self.needs if need.level != 'set')

    def fits(self, record: dict[str, Any]) -> bool:
        """Whether a record is of these settings, and of those runs of the needed jobs that are there."""
        return record.get('key') == self.key and record.get('needs') == self.need_runs()

    def outputs(self) -> list[Path]:
        return [self.folder / name for name in self.details.get('outputs', ())]

    def need_runs(self) -> dict[str, str | None]:
        """The run of each job that it needs, by name."""
        return {need.name: need.record().get('run') for need in self.needs}

    def write_record(self, seconds: float, done: bool, **more: Any) -> None:
        """Write ``job.json``; ``seconds`` are those of all tries. A done job gets the id of its run."""
        run = None if not done else files_key(self.outputs()) if self.level == 'set' else uuid4().hex
        record = dict(
            key=self.key, done=done, run=run, needs=self.need_runs(), seconds=round(seconds, 1), units=self.units,
            revision=get_git_hash(), settings=self.settings,
        )  # fmt: skip
        write_json(self.folder / 'job.json', {**record, **more})


_RECORD = dict(key=str, done=bool, run=str | None, needs=dict, seconds=int | float, settings=dict)


def read_record(file: Path) -> dict[str, Any]:
    """What a ``job.json`` says; empty if there is none, or if it isn't what :meth:`Job.write_record` writes."""
    try:
        with file.open(encoding='utf-8') as opened:
            record = parse_json(opened)
    except (FileNotFoundError, ValueError):
        return {}
    whole = isinstance(record, dict) and all(isinstance(record.get(name), kind) for name, kind in _RECORD.items())
    return record if whole else {}


def plan(studies: Sequence[Study], out: Path) -> list[Job]:
    """All jobs of some studies by level; what several need is in it once.

    Args:
        studies: read by ``load_study``. out: folder of all studies.
    """
    jobs: dict[Path, Job] = {}
    for study in studies:
        for job in _Planner(study, out).jobs():
            known = jobs.setdefault(job.folder, job)
            if known.key != job.key:
                raise ConfigError(
                    f'{study.file}: {job.folder} would be made with two settings. Name rows otherwise'
                )
            outputs = known.details['outputs']
            outputs += [name for name in job.details['outputs'] if name not in outputs]
            job.needs[:] = [jobs[need.folder] for need in job.needs]
    return sorted(jobs.values(), key=lambda job: LEVELS.index(job.level))  # stable


class _Planner:
    """Makes the jobs of one study; asked twice for a job, it gives the same."""

    def __init__(self, study: Study, out: Path) -> None:
        self.study, self.out = study, out
        check_types(study.cfg, runs=False)
        if any(row.config is None for row in study.rows):  # then the file is their config
            check_whole(study.cfg, study.file)
        self.detector_cfg = read_whole(study.detector)
        self.own_data = study.synthetic is None
        self.detector_settings = training_settings(self.detector_cfg, self.own_data)
        trainings = [row.train for row in study.rows if row.train]
        self.followed = {training.after.name for training in trainings if training.after}
        self.loaded = {config for training in trainings for config in training.nets.values()}
        self.epochs = sorted({e for row in study.rows for e in (row.epoch, row.masks_epoch) if e})
        self._jobs: dict[Path, Job] = {}
        last = int(self.detector_cfg.train_cfg.get('max_epochs') or 0)
        if self.epochs and self.epochs[-1] > last:
            trains = last or f'{self.detector_cfg.train_cfg.get("max_iters")} iterations'
            raise ConfigError(
                f'{study.file}: a row tests epoch {self.epochs[-1]} of the detector, but {study.detector} trains '
                f'{trains}'
            )
        for row in study.rows:
            check_row(study, row)

    def jobs(self) -> list[Job]:
        tests = [self.test(rows, seed) for seed in self.study.seeds for rows in same_model(self.study.rows)]
        self.table(tests)
        return list(self._jobs.values())

    def add(self, level: str, name: str, settings: dict, needs: Sequence[Job | None], **more: Any) -> Job:
        details = {'name': name, 'study': self.study, **more.pop('details', {})}
        job = Job(level, self.out / name, settings, [n for n in needs if n], details, **more)
        return self._jobs.setdefault(job.folder, job)

    def set(self, seed: int) -> Job | None:
        """The synthetic set of a seed; None with the config's own data."""
        if self.study.synthetic is None:
            return None
        options = {**self.study.synthetic, 'seed': seed}
        arguments, outputs = as_arguments(options), ['annotations/train.json', 'annotations/val.json']
        settings = dict(arguments=arguments)
        if self.study.pasted is not None:
            settings['pasted'] = as_arguments({**self.study.pasted, 'seed': seed})
            outputs = [*outputs, 'pasted/annotations/train.json']
        plain = self.study.synthetic == DEFAULT_SET and self.study.pasted is None
        return self.add(
            'set', f'data/{seed}' if plain else f'data/{seed}_{self.set_key()}', settings, [],
            details={**settings, 'outputs': outputs},
            units=options['videos'] + options['val_videos'], rate='set',
        )  # fmt: skip

    def set_key(self) -> str:
        pasted = self.study.pasted
        return settings_key(self.study.synthetic if pasted is None else [self.study.synthetic, pasted])[:6]

    def detector(self, seed: int) -> Job:
        """The detector's training, of which every epoch is kept."""
        needs = self.set(seed)
        settings = dict(config=self.detector_settings, seed=seed, set=needs and needs.key)
        shared = settings_key([settings['config'], self.set_key()])[:6]
        name = f'detectors/{Path(self.study.detector).stem}_{shared}/{seed}'
        if self.epochs and lacks_epochs(self.out / name, self.epochs):
            name += '_all_epochs'
        last = last_checkpoint(self.detector_cfg)
        cfg = self.on_set(self.detector_cfg, needs)
        self.check_frozen(cfg, f'detector {self.study.detector}')
        outputs = [f'epoch_{epoch}.pth' for epoch in self.epochs if f'epoch_{epoch}.pth' != last] + [last]
        return self.add(
            'detector', name, settings, [needs],
            details=dict(cfg=cfg, seed=seed, outputs=outputs, checkpoint=last),
            units=training_steps(cfg), rate=f'detector: {Path(self.study.detector).stem}',
        )  # fmt: skip

    def heads(self, training: Training, seed: int) -> Job:
        """A training of heads on the seed's detector, or of what else the study says."""
        of_set, start, before = self.set(seed), 'model' if training.after else training.start, None
        if training.after:
            before = self.heads(training.after, seed)
        elif start != 'scratch':
            before = self.detector(seed)
        cfg = self.on_set(read_whole(training.config) if training.config else self.study.cfg, of_set)
        self.merge(cfg, training.options, f'train {training.name}')
        cfg.load_from = None  # the weights are the seed's
        config = training_settings(cfg, self.own_data)
        settings, variety = dict(config=config, seed=seed, start=start), self.set_key()
        nets = self.nets(training.nets, seed)
        if nets:
            settings['nets'] = {name: [net.name, net.key] for name, net in nets.items()}
            self.name_nets(cfg, training, seed)
        if before is None:
            settings['set'] = of_set and of_set.key
        else:
            settings['detector'] = [before.name, before.key]
            variety = before.folder.parent.name + before.folder.name.removeprefix(str(seed))
            checkpoint = str(before.folder / before.details['checkpoint'])
            if start == 'model':
                cfg.load_from = checkpoint
            else:
                cfg.model.detector.init_cfg = dict(type='Pretrained', checkpoint=checkpoint, prefix='detector.')
        self.check_frozen(cfg, f'train {training.name}')
        last = last_checkpoint(cfg)
        shared = settings_key([config, start, variety])[:6]
        level = 'pretraining' if training.name in self.followed else 'heads'
        return self.add(
            level, f'heads/{training.name}_{shared}/{seed}', settings, [before, of_set, *nets.values()],
            details=dict(cfg=cfg, seed=seed, outputs=[last], checkpoint=last),
            units=training_steps(cfg), rate=f'heads: {training.name}',
        )  # fmt: skip

    def nets(self, configs: dict[str, str], seed: int) -> dict[str, Job]:
        """The trainings of nets, by name."""
        return {name: self.net(name, config, seed) for name, config in configs.items()}

    def name_nets(self, cfg: Config, training: Training, seed: int) -> None:
        """Put the paths of a training's nets where its options have ``'{NAME}'``: they are no settings."""
        filled = fill_in(training.options, self.nets(training.nets, seed))
        cfg.merge_from_dict({key: value for key, value in filled.items() if value != training.options[key]})

    def net(self, name: str, config: str, seed: int) -> Job:
        """The training of a net of its own, before the heads that load it."""
        cfg, of_set = read_whole(config), self.set(seed)
        settings = dict(config=training_settings(cfg, self.own_data), seed=seed, set=of_set and of_set.key)
        cfg = self.on_set(cfg, of_set)
        self.check_frozen(cfg, f'net {name}: {config}')
        last = last_checkpoint(cfg)
        shared = settings_key([settings['config'], self.study.synthetic])[:6]
        level = 'pretraining' if config in self.loaded else 'heads'
        return self.add(
            level, f'heads/{name}_{shared}/{seed}', settings, [of_set],
            details=dict(cfg=cfg, seed=seed, outputs=[last], checkpoint=last),
            units=training_steps(cfg), rate=f'heads: {name}',
        )  # fmt: skip

    def test(self, rows: Sequence[Row], seed: int) -> Job:
        """One pass of a model over the set of a seed, for all rows that share it."""
        row, detector = rows[0], self.detector(seed)
        weights = detector if row.train is None else self.heads(row.train, seed)
        cfg = self.on_set(read_whole(row.config) if row.config else self.study.cfg, self.set(seed))
        self.merge(cfg, row.train.options if row.train else {}, f'row {row.name}: train')
        checkpoint = weights.details['checkpoint'] if row.epoch is None else f'epoch_{row.epoch}.pth'
        nets = {row.name: self.nets(row.nets, seed) for row in rows}
        details = dict(
            cfg=cfg, checkpoint=str(weights.folder / checkpoint), seed=seed,
            rows={row.name: fill_in(row.variant, nets[row.name]) for row in rows},
            nets={name: [fill_in(f'{{{net}}}', of_row) for net in of_row] for name, of_row in nets.items()},
            frame_stride=self.study.frame_stride, ground_truth=row.ground_truth,
        )  # fmt: skip
        self.merge(cfg, row.options, f'row {row.name}', of_test=True)
        settings = dict(
            config=test_settings(cfg, self.own_data), weights=[weights.name, weights.key, checkpoint],
            rows={row.name: row.variant for row in rows},
            nets={name: {net: job.key for net, job in of_row.items()} for name, of_row in nets.items()},
            frame_stride=self.study.frame_stride, ground_truth=row.ground_truth, masks_epoch=row.masks_epoch,
        )  # fmt: skip
        if row.masks_epoch is not None:
            file = detector.folder / f'epoch_{row.masks_epoch}.pth'
            details['detections_from'] = detector.details['cfg'], str(file)
        if row.train:
            self.name_nets(cfg, row.train, seed)
        details['outputs'] = [f'{slug(row.name)}.json' for row in rows]
        frames = test_frames(cfg, self.study)
        return self.add(
            'test', f'{self.study.name}/results/{seed}/{slug(row.name)}', settings,
            [weights, *{net.folder: net for of_row in nets.values() for net in of_row.values()}.values(),
             self.set(seed)],
            details=details, rate='test',
            units=None if frames is None else frames * (len(rows) + 2),
        )  # fmt: skip

    def table(self, tests: Sequence[Job]) -> Job:
        study = self.study
        rows = [dict(name=row.name, x=row.x, paper=row.paper) for row in study.rows]
        settings = dict(
            rows=rows, tests=[test.key for test in tests], bootstraps=study.bootstraps, seeds=study.seeds,
            title=study.title, paper=study.paper, note=study.note, x_label=study.x_label,
            stability=study.stability, costs=study.costs,
        )  # fmt: skip
        return self.add(
            'table', study.name, settings, tests, rate='table', units=len(study.rows) * len(study.seeds),
            details=dict(tests=list(tests), outputs=['table.md', 'table.csv', 'plot.png']),
        )  # fmt: skip

    def merge(self, cfg: Config, options: dict[str, Any], where: str, of_test: bool = False) -> None:
        """Change keys of a config, and see that they act on what is made and are of the right types."""
        where = f'{self.study.file}: {where}: options'
        for key in options:
            if reason := without_effect(key, of_test, self.own_data):
                raise ConfigError(f'{where}: {key}: {reason}')
        try:
            merge_options(cfg, deepcopy(options))
            check_types(cfg, runs=False)
            check_whole(cfg, self.study.file)
        except ConfigError as error:
            raise ConfigError(f'{where}: {str(error).replace("--cfg-options ", "")}') from error

    def check_frozen(self, cfg: Config, where: str) -> None:
        """See that what a training leaves as it is has weights, before others are trained for hours."""
        if name := frozen_without_weights(cfg):
            raise ConfigError(
                f'{self.study.file}: {where}: model.frozen names {name!r}, which would keep its random weights: '
                "give it an init_cfg with a checkpoint, begin the training with start='model' or after=..., or "
                'take it out of model.frozen'
            )

    def on_set(self, cfg: Config, set_job: Job | None) -> Config:
        """A copy of the config on the set that a job makes."""
        cfg = deepcopy(cfg)
        if set_job is None:
            return cfg
        for split in ('train', 'val', 'test'):
            if cfg.get(f'{split}_dataloader'):
                for dataset in single_sets(cfg[f'{split}_dataloader'].dataset):
                    dataset['data_root'] = f'{set_job.folder}/'
            for evaluator in evaluators(cfg, split):
                if 'ann_file' in evaluator:
                    evaluator['ann_file'] = f'{set_job.folder}/annotations/val.json'
        return cfg


def single_sets(dataset: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The data sets that read files: one, or those inside of a mixture or another of mmengine's wrappers."""
    inner = dataset.get('datasets') or [part for part in [dataset.get('dataset')] if part]
    for part in inner:
        yield from single_sets(part)
    if not inner:
        yield dataset


def evaluators(cfg: Config, split: str) -> list[dict[str, Any]]:
    """The metrics of a config: of one, of a list, or of an evaluator that has a list of them."""
    found = cfg.get(f'{split}_evaluator') or []
    found = found.get('metrics', found) if isinstance(found, dict) else found
    return list(found) if isinstance(found, list | tuple) else [found]


def as_arguments(options: dict[str, Any]) -> list[str]:
    """``['--val-videos=120', ...]`` of maskprop synthetic; a list is an argument of several values."""
    arguments = []
    for key, value in options.items():
        name = f'--{key.replace("_", "-")}'
        several = isinstance(value, (list, tuple))
        arguments += [name, *map(str, value)] if several else [f'{name}={value}']
    return arguments


def same_model(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows in groups that a single pass of one model can test."""

    groups: dict[str, list[Row]] = {}
    for row in rows:
        model: list[Any] = [row.config, row.train and asdict(row.train), row.options]
        model += [row.ground_truth, row.epoch, row.masks_epoch]
        groups.setdefault(settings_key(model), []).append(row)
    return list(groups.values())


def lacks_epochs(folder: Path, epochs: Sequence[int]) -> bool:
    """Whether a folder holds a training that was made elsewhere (``reuse.py``) and kept its last epochs only."""
    record = folder / 'job.json'
    return 'reused' in read_record(record) and not all(
        (folder / f'epoch_{epoch}.pth').is_file() for epoch in epochs
    )


def fill_in(value: Any, nets: dict[str, Job]) -> Any:
    """A variant with paths of checkpoints in the place of ``'{NAME}'``."""
    if isinstance(value, dict):
        return {key: fill_in(part, nets) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(fill_in(part, nets) for part in value)
    net = nets.get(value[1:-1]) if isinstance(value, str) and value.startswith('{') else None
    return str(net.folder / net.details['checkpoint']) if net else value


def last_checkpoint(cfg: Config) -> str:
    """Name of the file that a training ends with."""
    train = cfg.train_cfg
    return f'iter_{train.max_iters}.pth' if train.get('max_iters') else f'epoch_{train.max_epochs}.pth'


def training_steps(cfg: Config) -> int | None:
    """Optimizer steps of a training; None where only the data would tell."""
    if cfg.train_cfg.get('max_iters'):
        return int(cfg.train_cfg.max_iters)
    samples = (cfg.train_dataloader.get('sampler') or {}).get('samples_per_epoch')
    return samples and int(cfg.train_cfg.max_epochs) * ceil(
        samples / (whole_batch(cfg) or cfg.train_dataloader.batch_size)
    )


def test_frames(cfg: Config, study: Study) -> int | None:
    """Frames of a test; None where its annotations do not tell."""
    if study.synthetic is not None:
        length = study.synthetic.get('frames', SYNTHETIC_FRAMES)
        return study.synthetic['val_videos'] * ceil(length / study.frame_stride)
    dataset = cfg.test_dataloader.dataset
    file = Path(dataset.get('data_root') or '', dataset.get('ann_file') or '')
    data = read_json(file) if file.is_file() else None
    videos = data.get('videos') if isinstance(data, dict) else None
    if not isinstance(videos, list) or not all(isinstance(v, dict) and 'file_names' in v for v in videos):
        return None
    used = study.frame_stride, tuple(dataset.get('frame_range', (0.0, 1.0)))
    return sum(len(frame_indices(len(v['file_names']), *used)) for v in videos)
