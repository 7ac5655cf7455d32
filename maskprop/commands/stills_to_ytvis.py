"""Make a YouTube-VIS annotation file, whose videos have one frame, of still images (docs/stills.md).

    maskprop stills coco instances_train2017.json OUT.json --target ytvis2019
    maskprop stills openimages train-annotations-bbox.csv OUT.json --images train \\
        --masks train-annotations-object-segmentation.csv --mask-folder train-masks \\
        --labels train-annotations-human-imagelabels-boxable.csv --target data/my_videos/train.json

--target is ytvis2019, ytvis2021 or an annotation file whose categories are taken. What was found, and what
was left out and why, is printed at the end.
"""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path

from maskprop.datasets.stills import OpenImagesFiles, Options, convert_coco, convert_openimages, load_class_map
from maskprop.datasets.stills.class_map import SOURCES, USES
from maskprop.engine import cli
from maskprop.engine.errors import ConfigError
from maskprop.utils import numeric
from maskprop.utils.files import check_writable

_FILES = {
    'images': 'folder of ID.jpg, or of folders of them',
    'masks': '*-annotations-object-segmentation.csv',
    'mask-folder': 'folder of the PNGs of masks, or of folders of them',
    'labels': '*-annotations-human-imagelabels-boxable.csv: which classes are verified absent',
    'hierarchy': 'bbox_labels_600_hierarchy.json',
    'names': 'class-descriptions-boxable.csv, to check the map',
    'rotation': '*-images-with-rotation.csv: images that lie on their side',
}


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Arguments of ``maskprop stills``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('source', choices=SOURCES)
    parser.add_argument('boxes', type=Path, help='instances_*.json of COCO, *-annotations-bbox.csv of OpenImages')
    parser.add_argument('out', type=Path, help='becomes data_root/ann_file of a config')
    parser.add_argument('--target', default='ytvis2019', help='ytvis2019, ytvis2021 or an annotation file')
    parser.add_argument('--map', type=Path, metavar='JSON', help='own class map (docs/stills.md)')
    use = f'another use of a class of the map: {", ".join(USES)}; e.g. bicycle=take'
    parser.add_argument('--use', nargs='+', default=[], metavar='CLASS=USE', help=use)
    parser.add_argument('--keep-empty', action='store_true', help='also write images without an object to learn')
    parser.add_argument('--max-instances', type=numeric.positive, metavar='N', help='leave out images with more')
    most = 'an image is used if a class of it has fewer so far'
    parser.add_argument('--max-images-per-class', type=numeric.positive, metavar='N', help=most)
    parser.add_argument('--seed', type=numeric.seed, default=0, help='of that choice')
    unmapped = 'classes without a counterpart (default: background in COCO, unknown in OpenImages)'
    parser.add_argument('--unmapped', choices=('background', 'unknown'), help=unmapped)
    parser.add_argument('--overwrite', action='store_true', help='OUT may be there already')
    _add_openimages(parser.add_argument_group('OpenImages alone'))
    args = parser.parse_args(argv)
    if args.source == 'openimages' and args.images is None:
        parser.error('--images: give the folder of the pictures, whose sizes are read')
    if args.source == 'coco' and (given := [o for o in _FILES if getattr(args, o.replace('-', '_')) is not None]):
        parser.error(f'--{given[0]}: of openimages alone')
    return args


def _add_openimages(group: argparse._ArgumentGroup) -> None:
    for option, text in _FILES.items():
        group.add_argument(f'--{option}', type=Path, metavar='PATH', help=text)
    group.add_argument('--only-verified', action='store_true', help='leave out images where a class shown is not')
    group.add_argument('--groups', choices=USES[1:], default='ignore', help='IsGroupOf boxes')
    group.add_argument('--depictions', choices=USES, default='ignore', help='IsDepiction boxes: drawings, toys')
    group.add_argument('--insides', choices=USES, default='ignore', help='IsInside boxes')
    group.add_argument('--machine-boxes', choices=USES, default='take', help='boxes that a model drew')
    turned = 'pictures turned by EXIF, or in --rotation'
    group.add_argument('--turned', choices=('take', 'leave_out'), default='leave_out', help=turned)
    group.add_argument('--workers', type=numeric.whole(1, 256), default=1, help='processes that read masks')


def convert(args: argparse.Namespace) -> None:
    """Do as the arguments say."""
    if args.out.exists() and not args.overwrite:
        raise ConfigError(f'{args.out} exists: pass --overwrite, or give another name')
    check_writable(args.out, 'OUT', sources=(args.boxes, args.map))
    class_map = load_class_map(args.source, args.target, args.map).with_uses(_uses(args.use))
    options = Options(**_chosen(Options, args))
    if args.source == 'coco':
        report = convert_coco(args.boxes, args.out, class_map, options, cli.print_progress)
    else:
        files = OpenImagesFiles(**_chosen(OpenImagesFiles, args))
        report = convert_openimages(files, args.out, class_map, options, cli.print_progress, _print_rows)
    print(f'{report}\n{args.out}: written')
    print(f'Look at it with: maskprop check {args.out} --images FOLDER_OF_IMAGES')


def _chosen(cls: type, args: argparse.Namespace) -> dict:
    return {field.name: getattr(args, field.name) for field in fields(cls) if hasattr(args, field.name)}


def _uses(given: list[str]) -> dict[str, str]:
    pairs = [text.rpartition('=') for text in given]
    return {name: use for name, _, use in pairs}


def _print_rows(rows: int) -> None:
    print(f'{rows:,} rows of boxes read', flush=True)


def main() -> None:
    """Do ``maskprop stills``."""
    convert(parse_args())
