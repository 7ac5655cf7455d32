"""Processor time and peak memory of converting still images, on files that are generated here.

    python tools/benchmarks/stills.py coco --size 100000
    python tools/benchmarks/stills.py openimages --size 1000000

The COCO file has seven annotations an image, each a polygon of 30 points. The OpenImages file has 21 columns and
8 boxes an image, a third of them of mapped classes; all pictures are one JPEG.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import tempfile
import time
from pathlib import Path

from PIL import Image

from maskprop.datasets.stills import OpenImagesFiles, convert_coco, convert_openimages, load_class_map
from maskprop.datasets.stills.openimages_tables import read_boxes
from maskprop.engine import cli
from maskprop.utils import numeric

BOXES_AN_IMAGE, OBJECTS_AN_IMAGE, POINTS = 8, 7, 30


def write_coco(path: Path, size: int) -> None:
    """A file of ``size`` annotations."""
    draw = random.Random(0)
    images = [
        dict(id=i, file_name=f'{i:012}.jpg', width=640, height=480) for i in range(-(-size // OBJECTS_AN_IMAGE))
    ]
    names = ['person', 'chair', 'car', 'dog', 'cup', 'horse']
    annotations = []
    for number in range(size):
        polygon = [round(draw.uniform(50, 400), 2) for _ in range(2 * POINTS)]
        record = dict(id=number + 1, image_id=number // OBJECTS_AN_IMAGE, category_id=draw.randrange(len(names)))
        annotations.append(dict(record, segmentation=[polygon], iscrowd=0, area=1.0, bbox=[50, 50, 350, 350]))
    categories = [dict(id=number, name=name) for number, name in enumerate(names)]
    path.write_text(json.dumps(dict(images=images, annotations=annotations, categories=categories)))


def write_openimages(path: Path, size: int) -> None:
    """A file of ``size`` boxes."""
    draw = random.Random(0)
    mids = ['/m/04yx4', '/m/0k4j', '/m/0bt9lr', *(f'/m/other{i}' for i in range(6))]
    columns = (
        'ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction'
    )
    clicks = ','.join(f'XClick{n}{axis}' for axis in 'XY' for n in (1, 2, 3, 4))
    with open(path, 'w') as file:
        file.write(f'{columns},IsDepiction,IsInside,{clicks}\n')
        for number in range(size):
            x, y = draw.uniform(0, 0.5), draw.uniform(0, 0.5)
            corners = f'{x:.6f},{x + 0.4:.6f},{y:.6f},{y + 0.4:.6f}'
            image = f'{number // BOXES_AN_IMAGE:016x}'
            file.write(f'{image},xclick,{draw.choice(mids)},1,{corners},0,0,0,0,0,{corners},{corners}\n')


def measure(args: argparse.Namespace) -> None:
    """Writes the file in one process and reads it in this one, whose peak memory is printed."""
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder) / 'source', Path(folder) / 'out.json'
        writer = os.fork()
        if not writer:
            (write_coco if args.source == 'coco' else write_openimages)(path, args.size)
            os._exit(0)
        os.waitpid(writer, 0)
        class_map = load_class_map(args.source, 'ytvis2019')
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start = time.process_time()
        if args.source == 'coco':
            report = convert_coco(path, out, class_map)
        else:
            table = read_boxes(path, class_map.classes)
            read = time.process_time() - start
            print(f'{args.size / read:,.0f} rows/s, {read:.1f} s for the boxes')
            for name in table.images:
                (Path(folder) / f'{name}.jpg').symlink_to('picture')
            Image.new('RGB', (1024, 768)).save(Path(folder) / 'picture', 'JPEG')
            start = time.process_time()
            report = convert_openimages(OpenImagesFiles(path, Path(folder)), out, class_map)
        seconds = time.process_time() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(f'{path.stat().st_size / 2**20:.0f} MiB in, {out.stat().st_size / 2**20:.0f} MiB out')
        print(
            f'{report.images} images, {seconds:.1f} s, peak {peak / 2**10:.0f} MiB ({before / 2**10:.0f} before)'
        )


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('source', choices=('coco', 'openimages'))
    parser.add_argument('--size', type=numeric.positive, default=100_000, help='annotations or boxes')
    cli.run(measure, parser.parse_args)
