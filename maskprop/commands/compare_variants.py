"""Trackers side by side on the same detections: the rows that a config lists under ``variants``.

    maskprop compare-variants configs/demo/maskprop_tiny_synthetic.py CHECKPOINT.pth
    maskprop compare-variants CONFIG.py CHECKPOINT.pth --data data/my_videos   # its validation or test set
    maskprop compare-variants CONFIG.py CHECKPOINT.pth --frame-strides 3 1 --out rows.json
    maskprop compare-variants CONFIG.py CHECKPOINT.pth --ground-truth   # detections from the annotations

A variant is a dict of keyword arguments of ``VideoMaskRCNN.start_video``. The first is compared with each other
one by a paired bootstrap over the videos. Prints video AP and temporal stability (docs/stability.md) and, with
``--out``, writes the rows as JSON, with ``--results-dir``, each variant's results as NAME.json, or
NAME_strideS.json with several strides.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maskprop.engine import cli
from maskprop.utils import numeric

if TYPE_CHECKING:
    from maskprop.evaluation import GroundTruth

METRICS = ('AP', 'AP50', 'AP75', 'AR1', 'AR10')
# of the stability: heading and factor of the printed column
STABILITY = dict(
    frame_recall=('frame recall', 100),
    missed_share=('missed frames', 100),
    smoothness=('smoothness', 100),
    id_switches=('id switches', 1),
)


def parse_args() -> argparse.Namespace:
    """Arguments of ``maskprop compare-variants``."""
    parser = cli.ModelParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_model_arguments(parser)
    parser.add_argument(
        '--frame-strides', type=numeric.stride, nargs='+', help="default: the config's frame_stride, and 1"
    )
    parser.add_argument('--ground-truth', action='store_true', help='ground-truth masks in place of detections')
    parser.add_argument('--bootstraps', type=numeric.resamples, default=1000, help='0: none; default: %(default)s')
    parser.add_argument('--out', type=Path, metavar='FILE', help='write the rows')
    parser.add_argument('--results-dir', type=Path, metavar='DIR', help='write the results, for maskprop analyze')
    cli.add_test_set_arguments(parser)
    return parser.parse_args()


def score(truths: dict[int, GroundTruth], results: dict, names: list[str], bootstraps: int) -> list[dict]:
    """Print the table; its rows. ``truths`` are those of each frame stride."""
    from maskprop.evaluation import paired_bootstrap, score_results
    from maskprop.evaluation.scoring import video_ap_of

    width = max(map(len, names))
    rows = []
    headings = ' '.join([*(f'{m:>6s}' for m in METRICS), *(f'{name:>13s}' for name, _ in STABILITY.values())])
    print(f'\n{"row":{width}s} stride {headings}   {names[0]} is better by')
    for stride, truth in truths.items():
        scores = {name: score_results(truth, results[name, stride], allow_empty=True) for name in names}
        scored = {name: video_ap_of(found) for name, found in scores.items()}
        for name in names:
            measured = scores[name].stability
            assert measured is not None  # of the default metrics
            stability = measured.to_dict()
            row: dict[str, Any] = dict(name=name, frame_stride=stride, **{m: scored[name][m] for m in METRICS})
            row['stability'] = {key: stability[key] for key in STABILITY}
            note = ''
            if name != names[0] and bootstraps:
                paired = paired_bootstrap(truth, scored[names[0]], scored[name], bootstraps)
                low, high = paired.interval()
                row.update(gain=paired.observed, interval=[low, high], share_positive=paired.share_positive)
                note = f'   {100 * paired.observed:+.1f} (95 %: {100 * low:+.1f} to {100 * high:+.1f})'
                note += f', in {100 * paired.share_positive:.1f} % of {bootstraps} bootstraps'
            rows.append(row)
            cells = ' '.join([f'{100 * row[m]:6.1f}' for m in METRICS] + [_cell(row, key) for key in STABILITY])
            print(f'{name:{width}s} {stride:6d} {cells}{note}', flush=True)
    return rows


def _cell(row: dict, key: str) -> str:
    value, factor = row['stability'][key], STABILITY[key][1]
    return f'{"-":>13s}' if value is None else f'{factor * value:13.{1 if factor > 1 else 0}f}'


def compare(args: argparse.Namespace) -> None:
    """Do as the arguments say."""
    from maskprop.engine.errors import ConfigError
    from maskprop.utils.files import check_writable, write_json

    if args.out:
        check_writable(args.out, '--out')
    if args.results_dir:
        check_writable(args.results_dir, '--results-dir', folder=True)
    cfg = cli.load_test_config(args)
    if not cfg.get('variants'):
        raise ConfigError(
            f'config {args.config}: no variants. Add variants = dict(NAME=dict(...), ...): each has keyword '
            'arguments of VideoMaskRCNN.start_video'
        )
    from maskprop.apis import init_model
    from maskprop.apis.variants import run_variants
    from maskprop.engine.checks import build_annotated_test_set
    from maskprop.evaluation import load_ground_truth, write_results

    dataset_cfg = cfg.test_dataloader.dataset
    strides = args.frame_strides or list(dict.fromkeys([dataset_cfg.get('frame_stride', 1), 1]))
    dataset_cfg.frame_stride = 1
    dataset = build_annotated_test_set(cfg)
    file, kept = Path(dataset_cfg.data_root, dataset_cfg.ann_file), dataset_cfg.get('frame_range', (0.0, 1.0))
    truths = {stride: load_ground_truth(file, stride, kept) for stride in strides}
    model = init_model(cfg, args.checkpoint)

    results = run_variants(model, dataset, cfg.variants, strides, args.ground_truth, cli.print_progress)
    if args.results_dir:
        for (name, stride), found in results.items():
            name = f'{name}_stride{stride}' if len(strides) > 1 else name
            write_results(args.results_dir / f'{name}.json', found)
    rows = score(truths, results, list(cfg.variants), args.bootstraps)
    if args.out:
        write_json(args.out, rows)


def main() -> None:
    """Do ``maskprop compare-variants``."""
    compare(parse_args())
