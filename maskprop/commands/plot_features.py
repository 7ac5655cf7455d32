"""Propagated features of the instances of a frame over its clip, a row for each instance (Figure 5).

    maskprop plot-features CONFIG.py CHECKPOINT.pth --video ID --frame T --out features.png
    maskprop plot-features CONFIG.py CHECKPOINT.pth --video ID --frame T --channel 7 --out features.png

Frames are those that the test set of the config uses, from 0. Drawn are absolute activations of one channel of the
deformable convolutions' output, before the 1x1 convolution; a row's brightest cell is its largest activation.
"""

from __future__ import annotations

import argparse

from maskprop.engine import cli
from maskprop.utils import numeric


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Arguments of ``maskprop plot-features``."""
    parser = cli.ModelParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_model_arguments(parser)
    parser.add_argument('--video', type=int, required=True, metavar='ID', help='id in the annotation file')
    parser.add_argument('--frame', type=numeric.whole(0), required=True, metavar='T', help="the clip's centre")
    parser.add_argument(
        '--channel', default='auto', metavar='C', help='auto: the one with the largest mean square in frame T'
    )
    parser.add_argument('--max-instances', type=numeric.positive, default=4, help='the best-scored ones')
    parser.add_argument('--columns', type=numeric.positive, default=7, help='frames shown')
    parser.add_argument('--cell-width', type=numeric.whole(32), default=200, help='pixels')
    parser.add_argument('--out', required=True, metavar='FEATURES.png')
    cli.add_test_set_arguments(parser)
    args = parser.parse_args(argv)
    if args.channel != 'auto' and not args.channel.isdecimal():
        parser.error(f'--channel {args.channel}: expected a number from 0, or auto')
    numeric.check_strip(parser, args.columns, args.cell_width)
    return args


def plot(args: argparse.Namespace) -> None:
    """Do as ``args`` say."""
    from maskprop.engine.errors import ConfigError
    from maskprop.utils.files import check_writable

    check_writable(args.out, '--out')
    cfg = cli.load_test_config(args)
    from maskprop.apis import init_model
    from maskprop.apis.propagated_features import propagated_features
    from maskprop.engine.checks import build_dataset
    from maskprop.visualization.feature_strip import draw_feature_strip
    from maskprop.visualization.files import write_image

    dataset = build_dataset(cfg, 'test')
    videos = {dataset.get_data_info(i)['video_id']: i for i in range(len(dataset))}
    if args.video not in videos:
        raise ConfigError(f'--video {args.video}: {dataset.ann_file} has {sorted(videos)[:10]} ...')
    images = dataset.get_data_info(videos[args.video])['images']
    if not 0 <= args.frame < len(images):
        raise ConfigError(f'--frame {args.frame}: video {args.video} has frames 0 to {len(images) - 1}')
    model = init_model(cfg, args.checkpoint)
    channel = None if args.channel == 'auto' else int(args.channel)
    try:
        found = propagated_features(model, dataset, videos[args.video], args.frame, channel, args.max_instances)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    instances = found.instances
    if not len(instances):
        raise ConfigError(f'--frame {args.frame}: nothing was detected in this frame; take another')
    names = model.dataset_meta['classes']
    labels = [
        f'{names[label]} {scores[label]:.2f}'
        for label, scores in zip(instances.labels, instances.class_scores, strict=True)
    ]
    strip = draw_feature_strip(
        [images[i]['img_path'] for i in found.frames],
        found.maps.numpy(),
        instances.rles,
        labels,
        args.frame - found.frames.start,
        instances.map_size,
        first=found.frames.start,
        num_columns=args.columns,
        cell_width=args.cell_width,
    )
    write_image(args.out, strip)
    print(
        f'channel {found.channel}, {len(instances)} instances, frames {found.frames.start} to '
        f'{found.frames.stop - 1}: {args.out}'
    )


def main() -> None:
    """Do ``maskprop plot-features``."""
    plot(parse_args())
