"""What a study file says: its rows, and what each of them trains and tests."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict

from maskprop.engine.config import ConfigError, find_config_file, read_config_file
from maskprop.engine.config_names import hint_at
from maskprop.engine.config_types import shown, wrong_arguments
from maskprop.utils import numeric
from maskprop.utils.json_values import is_finite_number

_MOST_SEEDS = 1000
_LONGEST_NAME = 120  # bytes: folders add keys and suffixes to it
_RANGES = dict(
    frame_stride=(1, numeric.MOST_STRIDE),
    bootstraps=(0, numeric.MOST_RESAMPLES),
    epoch=(1, numeric.MOST),
    masks_epoch=(1, numeric.MOST),
    seeds=(0, numeric.MOST_SEED),
)
METRICS = ('AP', 'AP50', 'AP75', 'AR1', 'AR10')  # of the table, and of the paper's numbers
STARTS = ('detector', 'model', 'scratch')
DEFAULT_DETECTOR = 'configs/demo/maskprop_tiny_synthetic.py'
DEFAULT_SET = dict(videos=300, val_videos=120)  # the demo's


@dataclass(frozen=True)
class Training:
    """A training of heads on the detector of a seed.

    Attributes:
        name: of its folder.
        options: config keys that it changes, ``{'model.propagation_head.mask_source': 'ground_truth'}``; its test
            has them too.
        start: weights it begins with: the ``'detector'`` alone, heads anew, the whole ``'model'``, or none
            (``'scratch'``).
        config: file of its config; None: the row's. Of stages before a row's own, with a model of the same parts.
        after: another training, whose whole model it begins with, in place of ``start``.
        nets: configs of nets by name, trained on the seed's set before it; ``'{NAME}'`` in its options stands for
            the path of the checkpoint.
    """

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    start: str = 'detector'
    config: str | None = None
    after: Training | None = None
    nets: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Attributes:
        name: unique in the study.
        config: file of its config, which it trains and is tested with; None: the study's.
        variant: keyword arguments of ``model.start_video``; rows that differ in these only share a detector pass.
        options: config keys that are changed at test.
        train: what is trained for it; None: it is tested with the model that came with the detector.
        ground_truth: annotations in place of the detections.
        epoch: test the detector's checkpoint of this epoch, not the last.
        masks_epoch: the detector's checkpoint of this epoch gives the detections (boxes, classes, masks), in a
            results file; the last one gives everything else.
        nets: configs of further nets by name, trained on the seed's set; ``'{NAME}'`` in the variant stands for
            the path of its checkpoint.
        x: place on the plot's axis.
        paper: the paper's numbers in percent, ``dict(AP=46.6, AP75=51.2)``.
    """

    name: str
    config: str | None = None
    variant: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    train: Training | None = None
    ground_truth: bool = False
    epoch: int | None = None
    masks_epoch: int | None = None
    nets: dict[str, str] = field(default_factory=dict)
    x: float | None = None
    paper: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Study:
    """A study file.

    Attributes:
        name: of the file. file: its path. cfg: the config without ``study``.
        title, note: of the table; the note stands under it. paper: what the paper's numbers are of.
        rows: the first is what the others are compared with.
        seeds: each has a set, a detector and trainings of its own.
        detector: config of the training that gives the detector.
        synthetic: ``videos`` and ``val_videos`` of the synthetic set of each seed; None: the config's own data.
        pasted: arguments of a second set, in the folder ``pasted`` of each seed's set, whose clips are pasted from
            the set's training videos; None: none.
        frame_stride: of the test.
        x_label: of the plot's axis; with it the plot is a line, else bars.
        stability: the table has the temporal stability too. costs: and frames per second and parameters.
        bootstraps: resamples of the videos.
    """

    name: str
    file: str
    cfg: Config
    title: str
    rows: tuple[Row, ...]
    paper: str = ''
    note: str = ''
    seeds: tuple[int, ...] = (2026, 2027, 2028)
    detector: str = DEFAULT_DETECTOR
    synthetic: dict[str, int] | None = field(default_factory=lambda: dict(DEFAULT_SET))
    pasted: dict[str, Any] | None = None
    frame_stride: int = 4
    x_label: str = ''
    stability: bool = False
    costs: bool = False
    bootstraps: int = 1000


def load_study(path: str | Path, seeds: Sequence[int] | None = None) -> Study:
    """Read a study file: a config with ``study = dict(title=..., rows=[...])``, keys as in :class:`Study`.

    Args:
        path: of the file. seeds: in place of the file's.

    Raises:
        ConfigError: what it says makes no study; the message names file, row, key and fix.
    """
    find_config_file(str(path))
    cfg = read_config_file(path)
    if 'study' not in cfg:
        raise ConfigError(
            f'{path}: not a study, it has no study = dict(title=..., rows=[...]). See docs/ablations.md'
        )
    content = cfg.pop('study')
    content = content.to_dict() if isinstance(content, ConfigDict) else content
    if seeds and isinstance(content, dict):
        content['seeds'] = seeds
    allowed = {f.name for f in fields(Study)} - {'name', 'file', 'cfg'} | {'train'}
    _check_keys(content, allowed, ('title', 'rows'), f'{path}: study')
    _check_values(Study, content, f'{path}: study')
    default = content.pop('train', None)
    rows = [
        _read_row({'train': default, **row} if isinstance(row, dict) else row, f'{path}: row {n}')
        for n, row in enumerate(content.pop('rows'), 1)
    ]
    _check_rows(rows, str(path))
    content['seeds'] = tuple(content.get('seeds', Study.seeds))
    _check_files([content.get('detector', DEFAULT_DETECTOR)], f'{path}: study: detector')
    return Study(name=Path(path).stem, file=str(path), cfg=cfg, rows=tuple(rows), **content)


def _read_row(content: dict, where: str) -> Row:
    if isinstance(content, dict):
        where = f'{where} ({content.get("name", "without a name")})'
    _check_keys(content, {f.name for f in fields(Row)}, ('name',), where)
    _check_values(Row, content, where)
    check_file_name(slug(content['name']), f'{where}: name')
    training = content.pop('train')
    if training is not None:
        training = _read_training(training, f'{where}: train')
    if training and training.config is None:
        training = replace(training, config=content.get('config'))
    row = Row(train=training, **content)
    _check_files([row.config], f'{where}: config')
    _check_nets(row.nets, row.variant, f'{where}: nets', 'variant')
    if training and (row.epoch is not None or row.masks_epoch is not None):
        raise ConfigError(f'{where}: epoch and masks_epoch are of the detector: set train=None with them')
    if row.ground_truth and row.masks_epoch is not None:
        raise ConfigError(f'{where}: masks are either the ground truth or those of masks_epoch: leave one out')
    return row


def _read_training(content: dict, where: str) -> Training:
    _check_keys(content, {f.name for f in fields(Training)}, ('name',), where)
    _check_values(Training, content, where)
    check_file_name(content['name'], f'{where}.name')
    if content.get('after') is not None:
        content = {**content, 'after': _read_training(content['after'], f'{where}.after')}
        if content['after'].after is not None:
            raise ConfigError(f'{where}.after.after: a training can follow one other, beside the detector')
    training = Training(**content)
    if training.start not in STARTS:
        raise ConfigError(f'{where}.start={training.start!r}: expected one of {STARTS}')
    _check_files([training.config], f'{where}: config')
    _check_nets(training.nets, training.options, f'{where}: nets', 'options')
    return training


def _check_files(configs: Sequence[str | None], where: str) -> None:
    for config in configs:
        try:
            if config is not None:
                find_config_file(config)
        except ConfigError as error:
            raise ConfigError(f'{where}: {error}') from error


def _check_nets(nets: dict[str, str], users: Any, where: str, key: str) -> None:
    """See that nets can be trained, and that what is to get their paths asks for these and no others."""
    for net in nets:
        check_file_name(net, where)
    _check_files(list(nets.values()), where)
    used = set(_nets_in(users))
    if unused := sorted(set(nets) - used):
        raise ConfigError(
            f"{where}: {unused[0]} would be trained for nothing: no value of {key} is '{{{unused[0]}}}'"
        )
    if unknown := sorted(used - set(nets)):
        known = f'nets has {", ".join(nets)}' if nets else 'there are no nets'
        raise ConfigError(f"{where}: {key} asks for '{{{unknown[0]}}}', but {known}")


def _nets_in(value: Any) -> Iterator[str]:
    """NAME of each text ``'{NAME}'`` in a value."""
    if isinstance(value, str) and value.startswith('{') and value.endswith('}'):
        yield value[1:-1]
    entries = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    for entry in entries:
        yield from _nets_in(entry)


def slug(name: str) -> str:
    """A name as a file's."""
    return re.sub(r'[^\w.+-]+', '_', name).strip('_').lower()


def check_file_name(name: str, where: str) -> None:
    """See that a name can be that of a folder inside of its folder.

    Raises:
        ConfigError: it is empty, has other than letters, digits and ``_.+-``, or is too long.
    """
    if not re.fullmatch(r'[\w.+-]+', name) or not name.strip('.') or len(name.encode()) > _LONGEST_NAME:
        raise ConfigError(
            f'{where}: {shown(name)} makes no folder name: give it letters, digits, _, +, - or ., and at most '
            f'{_LONGEST_NAME} bytes'
        )


def _check_values(kind: type, content: dict[str, Any], where: str) -> None:
    """See that values have the types of the attributes of Study, Row or Training, and are in their ranges."""
    if 'rows' in content and not isinstance(content['rows'], list | tuple):
        raise ConfigError(f'{where}: rows: expected a list of dicts, found {shown(content["rows"])}')
    for name, fault in wrong_arguments(kind, {k: v for k, v in content.items() if k != 'rows'}).items():
        raise ConfigError(f'{where}: {name}: {fault}')
    for name, (least, most) in _RANGES.items():
        values = content.get(name)
        if isinstance(values, list | tuple | range) and values[_MOST_SEEDS:]:
            found = f'expected {_MOST_SEEDS} at most, each is trained, found {shown(values)}'
            raise ConfigError(f'{where}: {name}: {found}')
        for value in values if isinstance(values, list | tuple | range) else [values]:
            if value is not None and not least <= value <= most:
                expected = f'{least} or more' if most == numeric.MOST else f'a number from {least} to {most}'
                raise ConfigError(f'{where}: {name}: expected {expected}, found {value}')
    seeds = content.get('seeds')
    if seeds is not None and len(set(seeds)) != max(1, len(seeds)):
        raise ConfigError(f'{where}: seeds: expected one or more, no two alike, found {shown(seeds)}')
    if content.get('x') is not None and not is_finite_number(content['x']):
        raise ConfigError(f'{where}: x: expected a place on an axis, found {content["x"]}')
    for name in ('name', 'title', 'paper', 'x_label'):
        text = content.get(name)
        if isinstance(text, str) and not text.isprintable():
            raise ConfigError(f'{where}: {name}: {shown(text)} cannot be written in a line of a table')
    for key in ('options', 'variant', 'nets', 'synthetic', 'pasted'):
        for name in content.get(key) or ():
            if not isinstance(name, str):
                raise ConfigError(f'{where}: {key}: expected texts as keys, found {shown(name)}')
    for key in (key for key in ('synthetic', 'pasted') if content.get(key) is not None):
        if 'seed' in content[key]:
            raise ConfigError(f'{where}: {key}.seed: each of the seeds has a set of its own; set seeds')
        needed = ('videos', 'val_videos') if key == 'synthetic' else ('videos',)
        for name in needed:
            if name not in content[key]:
                raise ConfigError(f'{where}: {key}.{name}: not set; it is the number of such videos')
        for name in (*needed, *(['frames'] if 'frames' in content[key] else [])):
            if type(number := content[key][name]) is not int or number < 1:
                raise ConfigError(f'{where}: {key}.{name}: expected a number of 1 or more, found {shown(number)}')
    paper = content.get('paper')
    for name, number in (paper or {}).items() if isinstance(paper, dict) else ():
        if name not in METRICS or not is_finite_number(number):
            expected = f'expected numbers in percent under {", ".join(METRICS)}'
            raise ConfigError(f'{where}: paper: {expected}, found {name}={shown(number)}')


def _check_keys(content: Any, allowed: set[str], needed: Sequence[str], where: str) -> None:
    if not isinstance(content, dict):
        raise ConfigError(f'{where}: expected a dict, found {content!r}')
    unknown = sorted(set(content) - allowed, key=str)
    missing = [key for key in needed if not content.get(key)]
    if unknown:
        raise ConfigError(f'{where}: {unknown[0]}: is no such key{hint_at(str(unknown[0]), sorted(allowed))}')
    if missing:
        raise ConfigError(f'{where}: {" and ".join(missing)}: not set')


def _check_rows(rows: list[Row], path: str) -> None:
    names = [slug(row.name) for row in rows]
    double = sorted({name for name in names if names.count(name) > 1})
    if double:
        raise ConfigError(f'{path}: several rows have the file name {double}: give each a name of its own')
    trainings: dict[str, Training] = {}
    for row in rows:
        for train in (row.train, row.train and row.train.after):
            if train and trainings.setdefault(train.name, train) != train:
                raise ConfigError(
                    f'{path}: row {row.name}: another training is named {train.name!r} too, with other options. '
                    'Trainings that differ need names that differ'
                )
