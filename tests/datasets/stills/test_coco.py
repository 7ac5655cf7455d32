"""tools/stills_to_ytvis.py coco: what stands in a small file comes back, and each of COCO's traps."""

from __future__ import annotations

import json
import re
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as mask_api

from maskprop.datasets.ytvis_json import decode_mask, find_problems, load_ytvis
from maskprop.engine import cli

TOOL = vars(import_module('maskprop.commands.stills_to_ytvis'))
NAMES = {1: 'person', 2: 'bicycle', 4: 'motorcycle', 16: 'bird', 18: 'dog', 74: 'mouse', 88: 'teddy bear'}
WIDTH, HEIGHT = 40, 30


def square(x: float, y: float, side: float = 10) -> list[list[float]]:
    return [[x, y, x + side, y, x + side, y + side, x, y + side]]


class Coco:
    """A file in the making."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        categories = [dict(id=number, name=name) for number, name in NAMES.items()]
        self.data = dict(images=[], annotations=[], categories=categories)

    def image(self, *objects: tuple[int, object, int]) -> None:
        """An image with (category, segmentation, iscrowd) of each object."""
        number = 100 + len(self.data['images'])
        name = f'{number:012}.jpg'
        self.data['images'].append(dict(id=number, file_name=name, width=WIDTH, height=HEIGHT))
        Image.new('RGB', (WIDTH, HEIGHT)).save(self.folder / name)
        for category, mask, crowd in objects:
            record = dict(
                id=len(self.data['annotations']) + 7, image_id=number, category_id=category, iscrowd=crowd
            )
            self.data['annotations'].append(dict(record, segmentation=mask, bbox=[2, 3, 4, 5]))

    def convert(self, *options: object) -> dict:
        source, out = self.folder / 'coco.json', self.folder / 'out.json'
        source.write_text(json.dumps(self.data))
        arguments = ['coco', source, out, *options]
        cli.run(TOOL['convert'], TOOL['parse_args'](list(map(str, arguments))))
        assert not find_problems(out, self.folder)
        return load_ytvis(out)


@pytest.fixture
def coco(tmp_path) -> Coco:
    return Coco(tmp_path)


def found(gt: dict) -> list[tuple]:
    """(place of the image, category, crowd, box only) of every object."""
    return [
        (a['video_id'], a['category_id'], a['iscrowd'], a.get('box_only', False)) for a in gt['annotations'] or []
    ]


def test_polygons_and_rle_come_back_as_the_masks_they_are(coco, capsys):
    pixels = np.zeros((HEIGHT, WIDTH), np.uint8)
    pixels[5:9, 8:20] = 1
    runs = [5 + HEIGHT * 8, *([4, HEIGHT - 4] * 11), 4]
    runs.append(HEIGHT * WIDTH - sum(runs))
    rle = dict(size=[HEIGHT, WIDTH], counts=runs)
    coco.image((18, square(3, 4), 0), (1, rle, 0), (1, rle, 1), (1, [], 0))
    gt = coco.convert()
    assert gt['videos'] == [
        dict(id=1, height=HEIGHT, width=WIDTH, length=1, file_names=['000000000100.jpg'], unknown_categories=[11])
    ]
    assert found(gt) == [(1, 8, 0, False), (1, 1, 0, False), (1, 1, 1, False), (1, 1, 0, True)]
    polygon, mask, _, box = gt['annotations']
    expected = mask_api.decode(mask_api.merge(mask_api.frPyObjects(square(3, 4), HEIGHT, WIDTH)))
    assert np.array_equal(decode_mask(polygon['segmentations'][0], HEIGHT, WIDTH), expected)
    assert polygon['bboxes'] == [[3, 4, 10, 10]] and polygon['areas'] == [100]
    assert np.array_equal(decode_mask(mask['segmentations'][0], HEIGHT, WIDTH), pixels)
    assert box['bboxes'] == [[2, 3, 4, 5]] and box['segmentations'] == [None]
    printed = capsys.readouterr().out
    assert '1 images' in printed
    assert [line.split()[1:] for line in printed.splitlines() if line.startswith('person')] == [
        ['1', '1', '1', '0']
    ]
    assert 'not in coco.json' in printed and 'zebra' in printed


def test_classes_are_matched_by_name(coco):
    for category in coco.data['categories']:
        category['id'] += 500
    coco.image((518, square(3, 4), 0), (574, square(3, 4), 0))
    assert found(coco.convert('--target', 'ytvis2021')) == [(1, 9, 0, False)]


def test_the_computer_mouse_is_neither_fox_nor_mouse(coco):
    coco.image((18, square(3, 4), 0), (74, square(20, 4), 0), (88, square(20, 9), 0))
    for target, dog in (('ytvis2019', 8), ('ytvis2021', 9)):
        assert found(coco.convert('--target', target, '--overwrite')) == [(1, dog, 0, False)]


@pytest.mark.parametrize(
    ('use', 'expected'),
    [
        (None, [(1, 8, 0, False), (1, 21, 1, False)]),
        ('take', [(1, 8, 0, False), (1, 21, 0, False)]),
        ('leave_out', [(1, 8, 0, False)]),
    ],
)
def test_a_bicycle_is_no_motorbike_unless_it_is_said(coco, use, expected):
    coco.image((18, square(3, 4), 0), (2, square(20, 4), 0))
    assert found(coco.convert(*(['--use', f'bicycle={use}'] if use else []))) == expected


def test_a_bird_makes_the_birds_of_the_target_unknown(coco):
    coco.image((18, square(3, 4), 0), (16, square(20, 4), 0))
    coco.image((18, square(3, 4), 0))
    videos = coco.convert()['videos']
    assert videos[0]['unknown_categories'] == [4, 13, 26, 38]  # parrot, duck, owl, eagle
    assert 'unknown_categories' not in videos[1]
    gt = coco.convert('--target', 'ytvis2021', '--overwrite')
    assert gt['videos'][0]['unknown_categories'] == [10, 25] and (1, 3, 0, False) in found(gt)


def test_a_class_that_is_shown_is_known(coco):
    path = coco.folder / 'map.json'
    classes = [{'from': 18, 'to': 'dog', 'maybe': ['fox', 'person']}, {'from': 1, 'to': 'person'}]
    path.write_text(json.dumps(dict(source='coco', classes=classes)))  # without names: by id
    coco.image((18, square(3, 4), 0), (1, square(3, 4), 0))
    coco.image((18, square(3, 4), 0))
    videos = coco.convert('--map', path)['videos']
    assert [video['unknown_categories'] for video in videos] == [[24], [1, 24]]


def test_classes_without_a_counterpart_are_background_or_unknown(coco):
    coco.image((18, square(3, 4), 0))
    assert 'unknown_categories' not in coco.convert()['videos'][0]
    unknown = coco.convert('--unmapped', 'unknown', '--overwrite')['videos'][0]['unknown_categories']
    assert len(unknown) == 21 and 24 in unknown and 8 not in unknown  # fox; the fact sheet counts 21


@pytest.mark.parametrize(('options', 'kept'), [([], [100]), (['--keep-empty'], [100, 101, 102, 103, 104])])
def test_images_without_an_object_to_learn(coco, capsys, options, kept):
    coco.image((18, square(3, 4), 0))
    coco.image()
    coco.image((88, square(3, 4), 0))
    coco.image((1, square(3, 4), 1))
    coco.image((1, square(-30, -30), 0))
    gt = coco.convert(*options)
    assert [int(video['file_names'][0][:12]) for video in gt['videos']] == kept
    printed = capsys.readouterr().out
    assert 'objects left out, a mask without a pixel: 1' in printed
    if not options:
        assert 'images left out, no object of the classes: 3' in printed
        assert 'images left out, nothing but regions to ignore: 1' in printed


def test_images_with_too_many_objects_are_left_out(coco, capsys):
    coco.image(*[(1, square(3, y), 0) for y in range(4)])
    coco.image(*[(1, square(3, y), y == 0) for y in range(4)])
    assert len(coco.convert('--max-instances', 3)['videos']) == 1
    assert 'images left out, more than 3 objects: 1' in capsys.readouterr().out


def test_common_classes_get_a_part_of_their_images(coco):
    for place in range(30):
        coco.image((1, square(3, 4), 0), *([(18, square(3, 4), 0)] if place % 10 == 0 else []))
    images = [coco.convert('--max-images-per-class', 5, '--seed', seed, '--overwrite') for seed in (0, 0, 1)]
    names = [[video['file_names'] for video in gt['videos']] for gt in images]
    assert names[0] == names[1] != names[2]
    for gt in images:
        classes = [a['category_id'] for a in gt['annotations']]
        assert classes.count(8) == 3  # a dog's image is used though persons have enough
        assert 5 <= classes.count(1) <= 8


@pytest.mark.parametrize(
    ('break_it', 'message'),
    [
        (lambda d: d.pop('annotations'), 'annotations: missing; expected a COCO file'),
        (lambda d: d['images'][0].pop('width'), r'images\[0\], width: missing'),
        (lambda d: d['annotations'][0].update(image_id=5), 'annotation 7, image_id: 5'),
        (
            lambda d: d['annotations'][0].update(segmentation=[[1, 2, 3]]),
            'segmentation: a polygon of 3',
        ),
        (lambda d: d['annotations'][0].update(segmentation=None, bbox=[1]), r'annotation 7, bbox: found \[1\]'),
        (lambda d: d.update(categories=[dict(id=3, name='toaster')]), 'none is in the map; it has toaster'),
        (lambda d: d['annotations'].clear(), 'not written, as no image is left'),
    ],
    ids=lambda value: value if isinstance(value, str) else '',
)
def test_each_fault_is_one_error_and_nothing_is_written(coco, capsys, break_it, message):
    coco.image((18, square(3, 4), 0))
    break_it(coco.data)
    with pytest.raises(SystemExit):
        coco.convert()
    error = capsys.readouterr().err
    assert re.search(message, error), error
    assert sorted(path.name for path in coco.folder.iterdir()) == ['000000000100.jpg', 'coco.json']


def test_a_file_is_not_overwritten_unasked(coco):
    coco.image((18, square(3, 4), 0))
    coco.convert()
    with pytest.raises(SystemExit):
        coco.convert()
