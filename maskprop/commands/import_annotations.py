"""Make an annotation file in YouTube-VIS format of annotations in another format (docs/formats.md).

    maskprop import cvat_mots.zip data/my_videos/all.json --images data/my_videos/images
    maskprop import DAVIS/Annotations/480p davis.json --images DAVIS/JPEGImages/480p
    maskprop import runs/segment/track/labels results.json --set val.json --classes names.json

The format is found by itself where it can be: PNGs of objects (DAVIS, SAM 2), MOTS PNG and txt, CVAT for video
1.1, COCO with tracks, labelme, SA-V, Datumaro, CSV; results of Ultralytics become a results file of --set.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from maskprop.datasets.formats.finding import READABLE, find_format
from maskprop.datasets.formats.importing import UNANNOTATED, import_source
from maskprop.datasets.formats.listed import ListedSet
from maskprop.datasets.formats.registry import Format
from maskprop.datasets.formats.sets import categories_of
from maskprop.datasets.formats.source import Source
from maskprop.datasets.formats.tracks import ReadOptions
from maskprop.datasets.ytvis_json import load_ytvis, read_json
from maskprop.engine import cli
from maskprop.engine.errors import ConfigError
from maskprop.utils.files import check_writable, replace_when_done
from maskprop.utils.text import escaped, plural


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Arguments of ``maskprop import``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('source', type=Path, help='file, folder or zip')
    parser.add_argument('out', type=Path, help='becomes data_root/ann_file of a config')
    parser.add_argument(
        '--from', dest='form', choices=READABLE, help='the format, where it is not found by itself'
    )
    images = "folder that file_names are relative to: a folder for each video, or one video's frames"
    parser.add_argument('--images', type=Path, metavar='FOLDER', help=images)
    nothing = 'frames without annotation: nothing is visible in them (absent), or leave them out (skip)'
    parser.add_argument('--unannotated', choices=UNANNOTATED, help=nothing)
    classes = 'class of each object, {"VIDEO": {"1": "person"}}, where the format has none'
    parser.add_argument('--classes', type=Path, metavar='JSON', help=classes)
    same = 'take ids and names of the classes of this annotation file, as of the training set for validation'
    parser.add_argument('--categories', type=Path, metavar='JSON', help=same)
    parser.add_argument('--binary', action='store_true', help='PNGs: all above 0 is one object, as in DAVIS 2016')
    by = 'indexed PNGs whose palettes differ: what tells objects apart'
    parser.add_argument('--by', choices=('value', 'colour'), help=by)
    parser.add_argument('--set', type=Path, metavar='JSON', help='of results: the annotation file of the videos')
    parser.add_argument('--overwrite', action='store_true', help='OUT may be there already')
    return parser.parse_args(argv)


def convert(args: argparse.Namespace) -> None:
    """Do as the arguments say."""
    if args.out.exists() and not args.overwrite:
        raise ConfigError(f'{args.out} exists: pass --overwrite, or give another name')
    check_writable(args.out, 'OUT', sources=(args.source, args.set, args.classes, args.categories))
    options = ReadOptions(
        images=args.images,
        classes=read_json(args.classes) if args.classes else None,
        binary=args.binary,
        by_colour=None if args.by is None else args.by == 'colour',
    )
    with Source(args.source) as source:
        form = find_format(source, args.form)
        print(escaped(f'{args.source}: {form.title}'), flush=True)
        content: Any = _results(args, source, form, options) if form.detect else _set(args, source, form, options)
    with replace_when_done(args.out) as temporary:
        temporary.write_text(json.dumps(content), encoding='utf-8')
    if form.detect:
        results = plural(len(content), 'result')
        print(escaped(f'{args.out}: {results}. Use them as docs/given_detections.md says, or score them:'))
        print(escaped(f'maskprop eval {args.set} {args.out}'))
        return
    names = (('videos', 'video'), ('annotations', 'object'), ('categories', 'class'))
    videos, objects, classes = (plural(len(content[key]), name) for key, name in names)
    print(escaped(f'{args.out}: {videos}, {objects} of {classes}'))
    images = '' if args.images is None else f' --images {args.images}'
    print(escaped(f'Look at it with: maskprop check {args.out}{images}'))


def _set(args: argparse.Namespace, source: Source, form: Format, options: ReadOptions) -> dict:
    if args.set:
        raise ConfigError(f'--set is of results; {args.source} is {form.title}')
    if source.is_unpacked and args.images is None:
        print('The frames are taken to lie as in the zip: unpack it, or give them by --images', flush=True)
    listed = categories_of(load_ytvis(args.categories)) if args.categories else None
    return import_source(source, form, options, args.unannotated, listed, cli.print_progress)


def _results(args: argparse.Namespace, source: Source, form: Format, options: ReadOptions) -> list[dict]:
    if args.set is None:
        raise ConfigError(f'{args.source} is {form.title}: give the annotation file of the videos by --set')
    assert form.detect is not None
    return form.detect(source, options, ListedSet(load_ytvis(args.set), args.set))


def main() -> None:
    """Do ``maskprop import``."""
    convert(parse_args())
