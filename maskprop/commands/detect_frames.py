"""Write what a model's detector finds in single frames, so that another model can propagate it.

    maskprop detect CONFIG.py CHECKPOINT.pth --out dets.json
    maskprop detect CONFIG.py CHECKPOINT.pth --out dets.json --frame-stride 1
    maskprop test OTHER.py OTHER.pth --cfg-options model.detections.type=FileDetections \\
        model.detections.format=coco model.detections.file=dets.json model.detections.ann_file=ANN.json

On the test set of the config; COCO's results format, images numbered as docs/given_detections.md says. The file
appears when it is whole.
"""

from __future__ import annotations

import argparse

from maskprop.engine import cli
from maskprop.utils import numeric
from maskprop.utils.text import plural


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Arguments of ``maskprop detect``."""
    parser = cli.ModelParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_model_arguments(parser)
    parser.add_argument('--out', required=True, metavar='DETS.json')
    parser.add_argument(
        '--frame-stride',
        type=numeric.stride,
        metavar='N',
        help="detect on every N-th frame (default: the config's)",
    )
    parser.add_argument('--refined', action='store_true', help="the refinement head's masks, not the mask head's")
    cli.add_test_set_arguments(parser)
    return parser.parse_args(argv)


def write_detections(args: argparse.Namespace) -> int:
    """Do as ``args`` say; the number of detections written."""
    from maskprop.engine.errors import ConfigError
    from maskprop.evaluation.results_io import ResultsWriter
    from maskprop.utils.files import check_writable

    check_writable(args.out, '--out')
    cfg = cli.load_test_config(args)
    from maskprop.apis.frame_detections import detect_frames
    from maskprop.apis.model import init_model, require_same_classes
    from maskprop.datasets.ytvis_dataset import YouTubeVISJsonDataset
    from maskprop.engine.checks import build_dataset

    if args.frame_stride is not None:
        cfg.test_dataloader.dataset.frame_stride = args.frame_stride
    dataset = build_dataset(cfg, 'test')
    if not isinstance(dataset, YouTubeVISJsonDataset):
        raise ConfigError(f'test_dataloader.dataset is a {type(dataset).__name__}, not a YouTubeVISJsonDataset')
    model = init_model(cfg, args.checkpoint)
    require_same_classes(model, dataset)
    if args.refined and getattr(model, 'refinement_head', None) is None:
        raise ConfigError(f'--refined needs a refinement_head, and {args.config} has none')

    frames = 0
    with ResultsWriter(args.out) as writer:
        for records in detect_frames(model, dataset, args.refined, cli.print_progress):
            writer.add(records)
            frames += 1
    print(f'{plural(writer.count, "detection")} in {plural(frames, "frame")}: {args.out}')
    return writer.count


def main() -> None:
    """Do ``maskprop detect``."""
    write_detections(parse_args())
