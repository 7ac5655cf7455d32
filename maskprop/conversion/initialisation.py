"""Weights of a COCO detector to begin a training with: what fits the config's model is kept, the rest listed."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

from torch import Tensor

import maskprop
from maskprop.apis.model import find_dataset_meta
from maskprop.conversion.state_dicts import check_files, read_state_dict, write_checkpoint
from maskprop.engine.checkpoint import CheckpointError
from maskprop.engine.config import ConfigError, load_config
from maskprop.engine.weights import Fit, Shapes, fit_state_dict, shapes_of


def model_shapes(config: str, options: dict | None = None, num_classes: int | None = None) -> Shapes:
    """Shape of every weight of a config's model.

    Args:
        config: path of the config.
        options: ``--cfg-options``.
        num_classes: None: of the config's ``metainfo`` or test set.

    Raises:
        ConfigError: no such config, or nothing says how many classes there are.
    """
    maskprop.register_all()
    # After register_all, which installs the kernels that mmdet needs.
    from mmdet.registry import MODELS

    from maskprop.engine.num_classes import fit_num_classes

    cfg = load_config(config, options)
    source = '--num-classes'
    if num_classes is None:
        source = 'the test set'
        try:
            num_classes = len(find_dataset_meta(cfg, None)['classes'])
        except ConfigError as error:
            raise ConfigError(f'{error}, or say how many there are: --num-classes N') from error
    fit_num_classes(cfg.model, num_classes, source)
    return shapes_of(MODELS.build(cfg.model).state_dict())


def write_initialisation(
    source: str | Path,
    out: str | Path,
    convert: Callable[[Mapping[str, Tensor], str], dict[str, Tensor]],
    config: str,
    options: dict | None = None,
    num_classes: int | None = None,
) -> Fit:
    """Convert a detector's checkpoint and keep of it what the config's model can load.

    Args:
        source: the detector's checkpoint.
        out: a checkpoint for ``load_from``.
        convert: ``convert_state_dict`` of the checkpoint's kind.
        config, options, num_classes: see :func:`model_shapes`.

    Raises:
        FileNotFoundError, CheckpointError: the source can't be read, is of another kind, or nothing of its
            backbone fits.
        ConfigError: see :func:`model_shapes`.
    """
    check_files(source, out)
    name = f'checkpoint {source}'
    state = convert(read_state_dict(source), name)
    fit = fit_state_dict(state, model_shapes(config, options, num_classes))
    if not any(key.startswith('detector.backbone.') for key in fit.kept):
        first = (fit.reshaped or fit.dropped)[0]
        raise CheckpointError(
            f'{name}: nothing of its backbone fits the model of {config}, for example {first[0]} '
            f"{'x'.join(map(str, first[1]))}. Take a checkpoint whose backbone is the config's"
        )
    write_checkpoint(out, fit.kept, dict(converted_from=Path(source).name))
    return fit


def main(
    description: str,
    convert: Callable[[Mapping[str, Tensor], str], dict[str, Tensor]],
    convert_whole: Callable[[str, str], str] | None = None,
) -> None:
    """The command line of the tools that make initial weights.

    Args:
        description: of the tool. convert: ``convert_state_dict`` of the checkpoint's kind.
        convert_whole: ``convert_file``, which is called without ``--config``; None: that is required.
    """
    from maskprop.engine.cli import ConfigOptions, run
    from maskprop.utils.numeric import positive

    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('source', metavar='IN', help='the checkpoint, .pth (or .npz of its state dict)')
    parser.add_argument('out', metavar='OUT', help='what is written, .pth')
    parser.add_argument(
        '--config', required=convert_whole is None, help='config of the model that is to be trained'
    )
    parser.add_argument(
        '--num-classes', type=positive, help="without the background (default: the config's data set)"
    )
    parser.add_argument(
        '--cfg-options', nargs='+', action=ConfigOptions, metavar='KEY=VALUE', help='override keys'
    )

    def convert_and_report(args: argparse.Namespace) -> None:
        if args.config is None and convert_whole is not None:
            print(convert_whole(args.source, args.out))
            return
        fit = write_initialisation(args.source, args.out, convert, args.config, args.cfg_options, args.num_classes)
        print(f'{fit.report()}\nwrote {args.out}')

    run(convert_and_report, parser.parse_args)
