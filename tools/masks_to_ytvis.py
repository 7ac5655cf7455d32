"""Make an annotation file in YouTube-VIS format of folders of frames and of indexed mask pictures (docs/data.md).

    python tools/masks_to_ytvis.py IMAGES MASKS OUT.json --classes classes.json
    python tools/masks_to_ytvis.py DAVIS/JPEGImages/480p DAVIS/Annotations/480p davis_2017.json

IMAGES has a folder for each video with its frames; MASKS folders of the same names with PNGs of the frames' names,
where a pixel's value is the number of its object (0 background, 255 ignored). classes.json has the class of each:
{"VIDEO": {"1": "person", "2": "dog"}, "OTHER": "car"}; without it there is one class, object.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from maskprop.datasets.mask_folders import annotations_from_masks
from maskprop.engine import cli
from maskprop.engine.config import ConfigError
from maskprop.evaluation.validation import load_json
from maskprop.utils.files import replace_when_done


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('images', type=Path)
    parser.add_argument('masks', type=Path)
    parser.add_argument('out', type=Path, help='becomes data_root/ann_file of a config')
    parser.add_argument('--classes', type=Path, metavar='JSON', help='class of each object')
    parser.add_argument('--binary', action='store_true', help='all above 0 is one object, as in DAVIS 2016')
    parser.add_argument('--overwrite', action='store_true', help='OUT may be there already')
    return parser.parse_args(argv)


def convert(args: argparse.Namespace) -> None:
    """Do as the arguments say."""
    for folder in (args.images, args.masks):
        if not folder.is_dir():
            raise FileNotFoundError(f'{folder}: no such folder')
    if args.out.exists() and not args.overwrite:
        raise ConfigError(f'{args.out} exists: pass --overwrite, or give another name')
    classes = load_json(args.classes) if args.classes else None
    if not isinstance(classes, (dict, type(None))):
        raise ConfigError(f'--classes {args.classes}: expected {{"VIDEO": {{"1": "CLASS"}}}}')

    content = annotations_from_masks(args.images, args.masks, classes, args.binary, cli.print_progress)
    with replace_when_done(args.out) as temporary:
        temporary.write_text(json.dumps(content), encoding='utf-8')
    print(f'{args.out}: {len(content["annotations"])} objects of {len(content["categories"])} classes')
    print(f'Look at it with: python tools/check_dataset.py {args.out} --images {args.images}')


if __name__ == '__main__':
    cli.run(convert, parse_args)
