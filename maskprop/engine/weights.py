"""Weights of a checkpoint and a model: brought to the model's names, compared with them, loaded."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from mmengine.logging import MMLogger, print_log
from mmengine.runner import CheckpointLoader
from torch import Tensor, nn

from maskprop.engine.checkpoint import CheckpointError
from maskprop.engine.state_dicts import (
    MMDET_1,
    MMDET_3,
    TORCHVISION,
    describe_layout,
    find_layout,
    find_weights,
    list_some,
)
from maskprop.utils.random_state import seeded

Shapes = Mapping[str, tuple[int, ...]]

DETECTOR = 'detector.'  # under which the weights of a detector alone go
BACKBONE = DETECTOR + 'backbone.'
COUNTER = 'num_batches_tracked'  # of batch norm: only a momentum of None uses it; FrozenBatchNorm has none

_OTHER = "take one whose backbone is the config's"
_LISTER = (
    'of a whole detector of mmdet, tools/model_converters/mmdet_coco.py IN OUT.pth --config CONFIG lists what fits'
)
_CONVERTERS = {
    TORCHVISION: 'convert it by tools/model_converters/torchvision_maskrcnn.py',
    MMDET_1: 'convert it by tools/model_converters/objprop_reference.py --partial',
    MMDET_3: f'{_OTHER}; {_LISTER}',
}


class Fit(NamedTuple):
    """A state dict against a model.

    Attributes:
        kept: weights that the model has, in the model's shape.
        reshaped: name, shape in the file, shape in the model: not kept, initialised from scratch.
        absent: name and shape of the model's weights that the file lacks: initialised from scratch.
        dropped: name and shape of the file's weights that the model lacks.
    """

    kept: dict[str, Tensor]
    reshaped: list[tuple[str, tuple[int, ...], tuple[int, ...]]]
    absent: list[tuple[str, tuple[int, ...]]]
    dropped: list[tuple[str, tuple[int, ...]]]

    def report(self) -> str:
        """All that is not kept, by name and shape; the heads that no detector has, by their number of weights."""
        heads = Counter(name.partition('.')[0] for name, _ in self.absent if not name.startswith(DETECTOR))
        lines = [f'kept: {len(self.kept)} weights']
        lines += _list_rows('initialised from scratch, of another shape', self.reshaped)
        lines += _list_rows(
            'initialised from scratch, not in the file',
            [row for row in self.absent if row[0].startswith(DETECTOR)],
        )
        lines += [
            f'initialised from scratch, not of a detector: {head}, {count} weights'
            for head, count in heads.items()
        ]
        lines += _list_rows('dropped, not in the model', self.dropped)
        return '\n'.join(lines)

    def summary(self) -> str:
        """The same in four lines at most: parts with their number of weights."""
        lines = [f'{len(self.kept)} weights are taken']
        if self.reshaped:
            shown = [f'{key} ({_show(there)} there, {_show(here)} here)' for key, there, here in self.reshaped]
            lines.append(f'of another shape, started from scratch: {list_some(shown)}')
        for rows, title in (
            (self.absent, 'not there, started from scratch'),
            (self.dropped, 'there, but not in the model'),
        ):
            parts = Counter(_part(name) for name, *_ in rows)
            if rows:
                lines.append(f'{title}: {list_some(f"{part} ({count})" for part, count in parts.most_common())}')
        return '; '.join(lines)


def fit_state_dict(state: Mapping[str, Tensor], shapes: Shapes) -> Fit:
    """Compare weights with a model's, by name and shape.

    Args:
        state: converted weights.
        shapes: the model's weights.
    """
    found = shapes_of(state)
    return Fit(
        kept={key: value for key, value in state.items() if shapes.get(key) == found[key]},
        reshaped=[(k, s, shapes[k]) for k, s in found.items() if k in shapes and shapes[k] != s],
        absent=[(k, s) for k, s in shapes.items() if k not in found and not k.endswith(f'.{COUNTER}')],
        dropped=[(k, s) for k, s in found.items() if k not in shapes],
    )


def shapes_of(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Shape of every weight."""
    return {key: tuple(value.shape) for key, value in state.items()}


def rename_detector(state: dict[str, Tensor], shapes: Shapes) -> tuple[dict[str, Tensor], bool]:
    """The weights of a detector alone, as mmdet trains it, under ``detector.*``; others as they are.

    It is one if its backbone has the names of the model's, without ``detector.`` before them.

    Returns:
        the weights, and whether they were renamed.
    """
    as_named = any(key in shapes for key in state)
    if as_named or not any(key.startswith('backbone.') and DETECTOR + key in shapes for key in state):
        return state, False
    # not: the preprocessor's mean and std, and an averaged copy that some trainings write beside the weights
    kept = {key: value for key, value in state.items() if not key.startswith(('data_preprocessor.', 'ema_'))}
    return {DETECTOR + key: value for key, value in kept.items()}, True


def load_weights(model: nn.Module, checkpoint: Mapping[str, Any], name: str) -> None:
    """Loads a checkpoint's weights; every weight of the model must be there, in its shape.

    Those of a detector alone are taken as those of ``model.detector``, see :func:`complete_weights`.

    Raises:
        CheckpointError: one isn't. mmengine would go on with random weights in its place.
    """
    weights = complete_weights(model, checkpoint, name)
    advice = 'Use the config that it was trained with (its text is in the checkpoint, under meta/cfg)'
    try:
        missing = model.load_state_dict(weights, strict=False).missing_keys
    except RuntimeError as error:  # other shapes
        shapes = '; '.join(line.strip(' .\t') for line in str(error).splitlines()[1:4])
        raise CheckpointError(f'checkpoint {name} does not fit the model: {shapes}. {advice}') from None
    missing = [key for key in missing if not key.endswith('num_batches_tracked')]
    if missing:
        listed = ', '.join(missing[:5]) + (f' and {len(missing) - 5} more' if len(missing) > 5 else '')
        raise CheckpointError(f'checkpoint {name} does not fit the model: it lacks {listed}. {advice}')


def _say(line: str) -> None:
    print_log(line, 'current')


def complete_weights(
    model: nn.Module, content: Any, name: str, say: Callable[[str], None] = _say
) -> dict[str, Tensor]:
    """The weights of a checkpoint under the names of a model that is to be tested.

    Of a detector alone, the model's other parts must have no weights, or do without training: they say so by an
    attribute ``works_untrained``, and get their initial weights, the same each time. One line says what was done.

    Args:
        model: as it was built. content: of the checkpoint. name: of the checkpoint, for errors.
        say: logs the line.

    Raises:
        CheckpointError: there is no state dict, or a part of the model has to be trained.
    """
    shapes = shapes_of(model.state_dict())
    weights, renamed = rename_detector(find_weights(content, f'checkpoint {name}'), shapes)
    if not renamed:
        return weights
    others = list(dict.fromkeys(key.partition('.')[0] for key in shapes if not key.startswith(DETECTOR)))
    for part in others:
        module = getattr(model, part)
        if not getattr(module, 'works_untrained', False):
            raise CheckpointError(
                f'checkpoint {name} does not fit the model: it has a detector alone, and {part} would keep random '
                f'weights. Train it (docs/training.md, "On a detector that stays as it is"), or take it out: '
                f'--cfg-options model.{part}=None'
            )
        with seeded(0), _without_log():
            module.init_weights()
        weights.update({f'{part}.{key}': value for key, value in module.state_dict().items()})
    also = f'; {" and ".join(others)}: as before any training' if others else ''
    say(f"checkpoint {name}: a detector's weights, taken as model.detector{also}")
    return weights


@contextmanager
def _without_log() -> Iterator[None]:
    """mmengine would log a line for each weight."""
    logger = MMLogger.get_current_instance()
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def weights_to_begin_with(
    model: nn.Module, content: Any, name: str, partial: bool = False, say: Callable[[str], None] = _say
) -> Fit:
    """What a training takes of a checkpoint, under the model's names.

    Args:
        model: that is trained. content: of the checkpoint. name: of the checkpoint, for errors.
        partial: take what fits, however little. say: logs what is taken.

    Raises:
        CheckpointError: there is no state dict; nothing fits; or the backbone's weights neither come whole from
            here nor from the config's ``init_cfg``.
    """
    shapes = shapes_of(model.state_dict())
    found = find_weights(content, f'checkpoint {name}')
    weights, renamed = rename_detector(found, shapes)
    fit = fit_state_dict(weights, shapes)
    if not partial:
        _check_fit(fit, found, shapes, name, has_pretrained_backbone(model))
    said = "a detector's weights, taken as model.detector: " if renamed else ''
    say(f'checkpoint {name}: {said}{fit.summary()}')
    return fit


def frozen_at_random(model: nn.Module, names: Sequence[str], given: Collection[str]) -> list[str]:
    """Weights of parts that are not trained, and that come from nowhere.

    Args:
        model: that is trained. names: of the parts. given: names of the weights that a checkpoint gave.

    Raises:
        CheckpointError, OSError: the file of an ``init_cfg``, of a part or in it, has no weights or can't be read.
    """
    lacking = []
    for name in names:
        part = getattr(model, name)
        weights = {f'{name}.{key}': shape for key, shape in shapes_of(part.state_dict()).items()}
        missing = [key for key in weights if key not in given and not key.endswith(COUNTER)]
        filled: list[str] = []  # modules whose own file is read, which those in them are not then
        for path, module in part.named_modules(prefix=name):
            cfg = _pretrained(module)
            if cfg and not path.startswith(tuple(f'{above}.' for above in filled)):
                filled.append(path)
                if any(key.startswith(f'{path}.') for key in missing):
                    found = _initial_shapes(cfg, path)
                    missing = [key for key in missing if found.get(key) != weights[key]]
        lacking += missing
    return lacking


def _initial_shapes(cfg: Mapping[str, Any], path: str) -> Shapes:
    """The weights that the file of a module's ``init_cfg`` has, under their names in the model."""
    file = cfg['checkpoint']
    found = find_weights(CheckpointLoader.load_checkpoint(file, 'cpu'), f'checkpoint {file}')
    prefix = cfg.get('prefix') or ''
    prefix += '.' if prefix and not prefix.endswith('.') else ''  # as mmengine reads it
    return {
        f'{path}.{key.removeprefix(prefix)}': shape
        for key, shape in shapes_of(found).items()
        if key.startswith(prefix)
    }


def has_pretrained_backbone(model: nn.Module) -> bool:
    """Whether a backbone, or what it is a part of, is initialised by weights that the config names."""
    detector = getattr(model, 'detector', None)
    owners = [model, detector, getattr(detector or model, 'backbone', None)]
    return any(_pretrained(owner) for owner in owners)


def _pretrained(module: nn.Module | None) -> Mapping[str, Any] | None:
    """The ``init_cfg`` of a module that takes weights from a file; None if it takes none."""
    cfg = getattr(module, 'init_cfg', None) or ()
    configs = [cfg] if isinstance(cfg, Mapping) else cfg
    return next((c for c in configs if c.get('type') in ('Pretrained', 'PretrainedInit')), None)


def _check_fit(fit: Fit, found: Mapping[str, Tensor], shapes: Shapes, name: str, pretrained: bool) -> None:
    meant = 'If only a part is meant to be taken: --cfg-options load_partial=True'
    if not fit.kept:
        advice = _CONVERTERS.get(find_layout(found) or '', f'{_OTHER}, or set load_from=None')
        raise CheckpointError(
            f'load_from={name}: no weight of it fits the model of this config, so the training would begin at '
            f'random: found {describe_layout(found)}, expected {list_some(shapes)}; {advice}. {meant}'
        )
    backbone = [k for k in shapes if k.startswith((BACKBONE, 'backbone.')) and not k.endswith(COUNTER)]
    lacking = [key for key in backbone if key not in fit.kept]
    if not lacking or (pretrained and len(lacking) == len(backbone)):
        return
    advice = _CONVERTERS.get(find_layout(found) or MMDET_3, _OTHER)  # first layers have names of mmdet's alone
    raise CheckpointError(
        f"load_from={name}: {len(lacking)} of the backbone's {len(backbone)} weights would begin at random, as "
        f'the file lacks them or has other shapes: {list_some(lacking)}; {advice}. {meant}'
    )


def _part(name: str) -> str:
    """What a weight is listed under: its head, or the detector's part."""
    first, _, rest = name.partition('.')
    return f'{first}.{rest.partition(".")[0]}' if f'{first}.' == DETECTOR else first


def _list_rows(title: str, rows: list[tuple]) -> list[str]:
    """Rows of a name and one shape, or the file's and the model's, under a title; nothing where there is none."""
    shown = []
    for name, shape, *others in rows:
        both = ''.join(f' in the file, {_show(other)} in the model' for other in others)
        shown.append(f'  {name}: {_show(shape)}{both}')
    return [f'{title}:', *shown] if rows else []


def _show(shape: tuple[int, ...]) -> str:
    return 'x'.join(map(str, shape)) or 'scalar'
