"""From a config file and command-line arguments to the config that a Runner gets."""

from __future__ import annotations

import inspect
import os
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mmengine.config import Config
from mmengine.config.utils import MODULE2PACKAGE
from mmengine.dist import is_main_process
from mmengine.runner import FlexibleRunner, Runner

from maskprop.engine.cfg_options import refuse_list, value_at
from maskprop.engine.config_merges import explain_file, explain_options
from maskprop.engine.config_variables import set_variables
from maskprop.engine.deprecation import telling_of_old_configs
from maskprop.engine.errors import CheckpointError, ConfigError
from maskprop.engine.foreign_config import check_foreign_config
from maskprop.engine.model_files import find_config_file, is_whole_model, local_checkpoint
from maskprop.engine.published import PRIVATE, read_config
from maskprop.utils.errors import UserError
from maskprop.utils.files import check_writable, is_file, name_in_errors
from maskprop.zoo import find_model

ADDED_HOOKS = ('CheckpointFitHook', 'InitialWeightsHook', 'VideoVisualizationHook')  # by each run, anew
RUNNER_WORK_DIR = 'work_dirs/runner'  # of default_runtime.py: mmengine's Runner refuses to do without
# keys that a config need not have: arguments of the runners, and what they and this project read beside
OPTIONAL_KEYS = {
    *inspect.signature(Runner).parameters,
    *inspect.signature(FlexibleRunner).parameters,
    *('auto_scale_lr', 'compile', 'efficient_conv_bn_eval', 'find_unused_parameters', 'metainfo'),
    *('load_partial', 'model_wrapper_cfg', 'rank_timeout', 'sync_bn', 'variants', 'visualization'),
}


MODULE2PACKAGE.setdefault('maskprop', 'maskprop')  # so that _base_ = 'maskprop::maskprop/NAME.py' is found


class Outputs(NamedTuple):
    """Files and folder that a test writes, by the names of the options of maskprop test; None: not written."""

    out: str | Path | None = None
    submission: str | Path | None = None
    metrics: str | Path | None = None
    show_dir: str | Path | None = None


def load_config(
    config: str | Path | Config,
    options: dict | None = None,
    work_dir: str | Path | None = None,
    change: Callable[[Config], None] | None = None,
) -> Config:
    """Read a config file, or copy a config.

    Args:
        config: its path, the name of a model of the index, or a config.
        options: ``--cfg-options``, merged into it.
        work_dir: default: the config's ``work_dir``, if it has one of its own, else
            ``work_dirs/<name of the config>``.
        change: what changes the config in place before the options do, which so have the last word.

    Raises:
        ConfigError: no such file, or it is no config; an option's key is none of the config's.
    """
    if isinstance(config, Config):
        cfg, file = deepcopy(config), None
    else:
        cfg = read_config_file(config)
        file = Path(cfg.filename) if find_model(config) or not is_whole_model(str(config)) else None
    cfg, others = set_variables(cfg, options or {}, OPTIONAL_KEYS, file)
    if change is not None:
        change(cfg)
    merge_options(cfg, others)
    name = Path(cfg.filename).stem if cfg.filename else 'config'
    own = None if cfg.get('work_dir') == RUNNER_WORK_DIR else cfg.get('work_dir')
    cfg.work_dir = str(work_dir or own or Path('work_dirs') / name)
    return cfg


def read_config_file(config: str | Path) -> Config:
    """The config of a file, of a model of the index, or of published weights.

    Raises:
        ConfigError: no such file, or it is no config. CheckpointError, OSError: its weights cannot be had.
    """
    try:
        return _read_config(str(config))
    except (UserError, OSError):
        raise
    except Exception as error:  # a config is Python: anything may be wrong in it
        words = ' '.join(str(error).split())
        raise ConfigError(f'config {config}: cannot be read: {type(error).__name__}: {words}') from error


def _read_config(config: str) -> Config:
    """Of a config file, of a model of the index, or of published weights."""
    if find_model(config) or not is_whole_model(config):
        file = find_config_file(config)
        try:
            # mmengine writes a copy of every file that it reads
            with telling_of_old_configs(), name_in_errors(tempfile.gettempdir()):
                cfg = Config.fromfile(str(file))
        except SystemExit as end:
            raise ConfigError(f'config {config}: ends the program ({end!r}) in place of setting keys') from end
        except FileNotFoundError as error:
            raise ConfigError(
                f'config {config}: a file that it names in _base_, or reads, is missing: {error}'
            ) from error
        except (AttributeError, TypeError) as error:
            if words := explain_file(error, file):
                raise ConfigError(f'config {config}: {words}') from error
            raise
        _drop_own_scope(cfg._cfg_dict)
        _drop_imports(cfg._cfg_dict)
        return cfg
    file = local_checkpoint(config)
    try:
        found = read_config(file)
        check_foreign_config(found)
    except ValueError as error:
        raise CheckpointError(f'checkpoint {file}: its config cannot be read: {error}') from error
    if not found:
        raise ConfigError(f'checkpoint {file}: has weights and no config. Name its config too: CONFIG {config}')
    found = {key: value for key, value in found.items() if key not in PRIVATE}
    text = Config(found).pretty_text  # or the file would be read for it
    return Config(found, cfg_text=text, filename=str(file.with_suffix('.py')))


def _drop_imports(keys: dict) -> None:
    """Take out classes that a file imported, as mmengine does modules: a copy of the config could not be read."""
    for key in [key for key, value in keys.items() if isinstance(value, type)]:
        del keys[key]


def _drop_own_scope(node: Any) -> None:
    """Take out what mmengine adds to parts of ``_base_ = 'maskprop::...'``: ours are in mmdet's registries."""
    if isinstance(node, dict):
        if node.get('_scope_') == 'maskprop':
            del node['_scope_']
        node = node.values()
    elif not isinstance(node, list | tuple):
        return
    for value in node:
        _drop_own_scope(value)


def merge_options(cfg: Config, options: Mapping[str, Any] | None) -> None:
    """Merge ``--cfg-options`` into a config, in place.

    Raises:
        ConfigError: an option doesn't fit what the config has there, or would change nothing, as it is neither a
            key that something reads nor one of such a key.
    """
    options = options or {}
    set_variables(cfg, options, OPTIONAL_KEYS, None)  # refuses them
    try:
        for key in options:
            refuse_list(cfg, options, key)
        cfg.merge_from_dict(options)
    except ConfigError:
        raise
    except (AssertionError, AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        keys = [key for key in options if not _merges(cfg, key, options[key])] or list(options)
        words = f'does not fit the config: {explain_options(error) or error}'
        if isinstance(value_at(cfg, keys[0]), Mapping) and not isinstance(options[keys[0]], Mapping):
            words = f'the config has a dict there, found {options[keys[0]]!r}. Set its keys: {keys[0]}.KEY=VALUE'
        raise ConfigError(f'--cfg-options {" ".join(keys)}: {words}') from error


def _merges(cfg: Config, key: str, value: Any) -> bool:
    try:
        deepcopy(cfg).merge_from_dict({key: value})
    except Exception:  # whatever: it is asked for after a failure
        return False
    return True


def use_variant(cfg: Config, name: str) -> None:
    """Let a config's model stream videos as one of its ``variants`` does, in place.

    Raises:
        ConfigError: there is no such variant.
    """
    variants = cfg.get('variants') or {}
    if name not in variants:
        known = f'it has {", ".join(variants)}' if variants else 'it has none'
        raise ConfigError(f'config {cfg.filename}: no variant {name!r}; {known}')
    for key, value in variants[name].items():
        cfg.model[key] = value  # as a whole, as start_video takes it


def prepare_training(
    cfg: Config,
    *,
    resume: bool | str | Path = False,
    auto_scale_lr: bool = False,
    seed: int | None = None,
    amp: bool = False,
) -> None:
    """Apply the arguments of :func:`maskprop.engine.runs.train` to ``cfg``."""
    if seed is not None:
        cfg.randomness = {**cfg.get('randomness', {}), 'seed': seed}
        cfg.train_dataloader.sampler.pop('seed', None)  # then it is the Runner's
    if amp:
        _enable_amp(cfg)
    if auto_scale_lr:
        scale = cfg.get('auto_scale_lr') or {}
        if 'base_batch_size' not in scale:
            raise ConfigError(
                f'config {cfg.filename}: --auto-scale-lr needs auto_scale_lr=dict(base_batch_size=N), the batch '
                'size over all processes that the learning rate of the config is meant for'
            )
        cfg.auto_scale_lr = {**scale, 'enable': True}
    if resume:
        _resume(cfg, resume)
    elif is_main_process() and (found := _checkpoints(cfg.work_dir)):
        print(
            f'warning: {cfg.work_dir} has checkpoints of an earlier training ({found[-1].name} the latest), which '
            'this one replaces one by one. To go on with it: --resume. To keep it: another --work-dir',
            file=sys.stderr,
        )
    if find_model(cfg.get('load_from')) or str(cfg.get('load_from')).startswith('hf://'):
        cfg.load_from = str(local_checkpoint(cfg.load_from))
    _check_initial_weights(cfg)
    hooks = _own_hooks(cfg)
    present = [*hooks, *(hook for hook in (cfg.get('default_hooks') or {}).values() if hook)]
    if not any(hook.get('type') == 'RandomStateHook' for hook in present):
        hooks.append(dict(type='RandomStateHook'))
    if cfg.get('resume'):
        hooks.append(dict(type='CheckpointFitHook'))
    else:
        hooks.append(dict(type='InitialWeightsHook', partial=bool(cfg.get('load_partial'))))
    cfg.custom_hooks = hooks


def _own_hooks(cfg: Config) -> list[dict]:
    """The custom hooks without those that a run added: configs that runs have written hold them."""
    return [hook for hook in cfg.get('custom_hooks') or [] if hook.get('type') not in ADDED_HOOKS]


def prepare_testing(cfg: Config, checkpoint: str | Path, outputs: Outputs, *, amp: bool = False) -> None:
    """Apply the arguments of :func:`maskprop.engine.runs.test` to ``cfg``."""
    try:
        cfg.load_from, cfg.resume = str(local_checkpoint(checkpoint)), False
    except FileNotFoundError as error:
        raise FileNotFoundError(f'{error}. Train one by: maskprop train {cfg.filename}') from None
    hooks = [*_own_hooks(cfg), dict(type='CheckpointFitHook')]
    if outputs.show_dir:
        hooks.append(
            dict(cfg.get('visualization', {}), type='VideoVisualizationHook', out_dir=str(outputs.show_dir))
        )
    cfg.custom_hooks = hooks
    if amp:
        cfg.test_cfg.fp16 = True
    _set_outputs(cfg, outputs)


def files_read(cfg: Config) -> list[str]:
    """What a test of a config reads and must not replace: annotation files, detections, weights, the config."""
    found, nodes = [str(path) for path in (cfg.filename, cfg.get('load_from')) if path], [cfg._cfg_dict]
    while nodes:
        node = nodes.pop()
        if isinstance(node, dict):
            names = [node.get(key) for key in ('ann_file', 'file')]
            found += [os.path.join(node.get('data_root') or '', name) for name in names if isinstance(name, str)]
        nodes += [child for child in (node.values() if isinstance(node, dict) else node) if _has_parts(child)]
    return found


def _has_parts(value: Any) -> bool:
    return isinstance(value, dict | list | tuple)


def _set_outputs(cfg: Config, outputs: Outputs) -> None:
    """Tell the metric which files to write, and make sure that they can be."""
    for option, suffix in (('out', '.json'), ('submission', '.zip'), ('metrics', '.json')):
        path = getattr(outputs, option)
        if path is not None:
            if Path(path).suffix != suffix:
                raise ConfigError(f'--{option} {path}: expected a file name that ends in {suffix}')
            check_writable(path, f'--{option}', sources=files_read(cfg))
    if outputs.out and outputs.metrics and Path(outputs.out).resolve() == Path(outputs.metrics).resolve():
        raise ConfigError(f'--metrics {outputs.metrics}: is --out too; give another name')
    if outputs.show_dir:
        check_writable(outputs.show_dir, '--show-dir', folder=True)
    evaluators = cfg.test_evaluator if isinstance(cfg.test_evaluator, list) else [cfg.test_evaluator]
    metric = next((e for e in evaluators if e.get('type') == 'YTVISMetric'), None)
    if metric is None:
        if outputs.out or outputs.submission or outputs.metrics:
            raise ConfigError(f'config {cfg.filename}: test_evaluator has no YTVISMetric, which writes the files')
        return
    if outputs.metrics and metric.get('format_only'):
        raise ConfigError(
            f'--metrics {outputs.metrics}: test_evaluator.format_only is set, for a set without annotations, so '
            'there are no metrics. Leave --metrics out'
        )
    if outputs.out:
        metric.outfile_prefix = str(Path(outputs.out).with_suffix(''))
    if outputs.submission:
        metric.submission = str(outputs.submission)
    if metric.get('format_only') and not (metric.get('outfile_prefix') or metric.get('submission')):
        # beside the run's logs, so that no other model's or set's files are written over
        metric.outfile_prefix, metric.submission = f'{cfg.work_dir}/results', f'{cfg.work_dir}/submission.zip'


def _enable_amp(cfg: Config) -> None:
    kind = cfg.optim_wrapper.get('type', 'OptimWrapper')
    if kind == 'Bf16OptimWrapper':
        return
    if kind not in ('OptimWrapper', 'AmpOptimWrapper'):
        raise ConfigError(f'--amp: optim_wrapper.type is {kind}, expected OptimWrapper')
    if not torch.cuda.is_available():
        raise ConfigError(
            '--amp: mixed precision training in float16 needs a GPU, and torch finds none. Leave --amp out, or '
            'train in bfloat16: --cfg-options optim_wrapper.type=Bf16OptimWrapper'
        )
    cfg.optim_wrapper.type = 'AmpOptimWrapper'
    cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')


def _check_initial_weights(cfg: Config) -> None:
    """The checkpoint to begin with must be there, and what is not trained must have weights from somewhere."""
    if load_from := cfg.get('load_from'):
        if '://' not in str(load_from) and not Path(load_from).is_file():
            raise FileNotFoundError(f'load_from={load_from}: no such checkpoint')
        return
    if name := frozen_without_weights(cfg):
        raise ConfigError(
            f'config {cfg.filename}: model.frozen names {name!r}, which would keep its random weights. Name a '
            'checkpoint that has it: --cfg-options load_from=CHECKPOINT.pth'
        )


def frozen_without_weights(cfg: Config) -> str | None:
    """The first part in ``model.frozen`` that would keep its random weights, for no checkpoint gives it others."""
    if cfg.get('load_from'):
        return None
    frozen = cfg.model.get('frozen') or ()
    return next((name for name in frozen if not _has_weights(cfg.model.get(name))), None)


def _has_weights(part: Any) -> bool:
    """Whether a part, or a module in it, is initialised from a checkpoint."""
    if isinstance(part, dict):
        return bool(part.get('init_cfg')) or any(_has_weights(value) for value in part.values())
    return isinstance(part, list | tuple) and any(_has_weights(value) for value in part)


def _resume(cfg: Config, resume: bool | str | Path) -> None:
    """``resume``: a checkpoint, or True for the last one in the work folder, if there is one."""
    if resume is True:
        # Found here and not by mmengine, which would resume from the initial weights (load_from) instead.
        found = find_last_checkpoint(cfg.work_dir)
        if found is None and (others := _checkpoints(cfg.work_dir)):
            raise CheckpointError(
                f'--resume: {cfg.work_dir} has checkpoints, but no file last_checkpoint that names one. Name it: '
                f'--resume {others[-1]}'
            )
        if found is None:
            print(f'--resume: no checkpoint in {cfg.work_dir} yet, training starts from scratch')
            return
        resume = str(found)
    elif not Path(str(resume)).is_file():
        raise FileNotFoundError(f'--resume {resume}: no such checkpoint')
    cfg.load_from, cfg.resume = str(resume), True


def _checkpoints(work_dir: str | Path) -> list[Path]:
    """Those of a work folder that a training can go on from, the oldest first; the best one is weights alone."""
    found = (path for path in Path(work_dir).glob('*.pth') if not path.name.startswith('best_'))
    return sorted(found, key=lambda path: path.stat().st_mtime)


def find_last_checkpoint(work_dir: str | Path) -> Path | None:
    """The last checkpoint that a training wrote in its work folder, or None if there is none yet.

    The one that the folder's note ``last_checkpoint`` names. If that is empty or names one that is not there, as
    after a kill or on a full disk, the newest one that is whole; a warning says so.

    Raises:
        CheckpointError: the note names one that is not there, and there is no other.
    """
    note = Path(work_dir) / 'last_checkpoint'
    if not note.is_file():
        return None
    text = note.read_text(errors='replace').strip()
    for path in (note.parent / Path(text).name, Path(text)):  # the folder may have been moved, or copied
        if is_file(path):
            return path
    whole = [path for path in _checkpoints(work_dir) if zipfile.is_zipfile(path)]
    found = f'names {text}, which is not there' if text else 'is empty'
    if not whole:
        raise CheckpointError(
            f'{note} {found}, nor is another whole checkpoint. Give one by --resume PATH, or delete that note to '
            'start from scratch'
        )
    print(f'warning: {note} {found}; continuing from the newest checkpoint, {whole[-1]}', file=sys.stderr)
    return whole[-1]
