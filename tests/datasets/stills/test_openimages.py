"""tools/stills_to_ytvis.py openimages: each trap of OpenImages' files, on small ones written here."""

from __future__ import annotations

import csv
import json
import re
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskprop.datasets.stills.openimages_images import overlap
from maskprop.datasets.ytvis_json import decode_mask, find_problems, load_ytvis
from maskprop.engine import cli

TOOL = vars(import_module('maskprop.commands.stills_to_ytvis'))
WIDTH, HEIGHT = 80, 40
DOG, MAN, WOMAN, PERSON, CAR, LIMOUSINE = (
    '/m/0bt9lr',
    '/m/04yx4',
    '/m/03bt1vf',
    '/m/01g317',
    '/m/0k4j',
    '/m/01lcw4',
)
BEAR, POLAR_BEAR, PANDA, TEDDY, BIRD, MONKEY = (
    '/m/01dws',
    '/m/0633h',
    '/m/03bj1',
    '/m/0kmg4',
    '/m/015p6',
    '/m/08pbxl',
)
BOX_COLUMNS = (
    'ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside'
).split(',')
CLICKS = [f'XClick{n}{axis}' for axis in 'XY' for n in (1, 2, 3, 4)]
MASK_COLUMNS = 'MaskPath,ImageID,LabelName,BoxID,BoxXMin,BoxXMax,BoxYMin,BoxYMax,PredictedIoU,Clicks'.split(',')
LABEL_COLUMNS = 'ImageID,Source,LabelName,Confidence'.split(',')
BOX = (0.25, 0.5, 0.75, 1.0)  # x1, y1, x2, y2


class OpenImages:
    """A split in the making."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.columns = folder, BOX_COLUMNS
        self.boxes: list[dict] = []
        self.masks: list[dict] = []
        self.labels: list[list] = []
        for name in ('images', 'masks'):
            (folder / name).mkdir()

    def image(self, name: str, size: tuple[int, int] = (WIDTH, HEIGHT), orientation: int = 1) -> None:
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.new('RGB', size).save(self.folder / f'images/{name}.jpg', exif=exif)

    def box(self, image: str, mid: str, corners: tuple = BOX, source: str = 'xclick', **flags: int) -> None:
        x1, y1, x2, y2 = corners
        row = dict(ImageID=image, Source=source, LabelName=mid, Confidence=1, XMin=x1, XMax=x2, YMin=y1, YMax=y2)
        self.boxes.append({**dict.fromkeys(self.columns, 0), **row, **flags})

    def mask(self, image: str, mid: str, pixels: np.ndarray, corners: tuple = BOX, mode: str = '1') -> Path:
        name = f'{image}_{mid[1:].replace("/", "")}_{len(self.masks):08x}.png'
        x1, y1, x2, y2 = corners
        row = dict(MaskPath=name, ImageID=image, LabelName=mid, BoxID=name[-12:-4])
        self.masks.append({**row, 'BoxXMin': x1, 'BoxXMax': x2, 'BoxYMin': y1, 'BoxYMax': y2})
        Image.fromarray(pixels.astype(np.uint8) * 255).convert(mode).save(self.folder / 'masks' / name)
        return self.folder / 'masks' / name

    def table(self, name: str, columns: list[str], rows: list) -> Path:
        path = self.folder / name
        with open(path, 'w', newline='') as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            writer.writerows([[row.get(c, 0) for c in columns] if isinstance(row, dict) else row for row in rows])
        return path

    def convert(self, *options: object) -> dict:
        out = self.folder / 'out.json'
        boxes = self.table('boxes.csv', self.columns, self.boxes)
        arguments = ['openimages', boxes, out, '--images', self.folder / 'images', '--overwrite', *options]
        if self.masks:
            masks = self.table('masks.csv', MASK_COLUMNS, self.masks)
            arguments += ['--masks', masks, '--mask-folder', self.folder / 'masks']
        if self.labels:
            arguments += ['--labels', self.table('labels.csv', LABEL_COLUMNS, self.labels)]
        cli.run(TOOL['convert'], TOOL['parse_args'](list(map(str, arguments))))
        assert not find_problems(out, self.folder / 'images')
        return load_ytvis(out)


@pytest.fixture
def split(tmp_path) -> OpenImages:
    split = OpenImages(tmp_path)
    split.image('0a')
    return split


def half(corners: tuple = BOX, size: tuple[int, int] = (WIDTH, HEIGHT)) -> np.ndarray:
    """A mask: the left half of a box."""
    width, height = size
    mask = np.zeros((height, width), bool)
    x1, y1, x2, y2 = corners
    mask[int(y1 * height) : int(y2 * height), int(x1 * width) : int((x1 + x2) / 2 * width)] = True
    return mask


def classes(gt: dict) -> list[tuple[int, int]]:
    return [(a['category_id'], a['iscrowd']) for a in gt['annotations']]


def unknown(gt: dict, place: int = 0) -> set[str]:
    names = {c['id']: c['name'] for c in gt['categories']}
    return {names[i] for i in gt['videos'][place].get('unknown_categories', ())}


@pytest.mark.parametrize(
    'columns', [BOX_COLUMNS, BOX_COLUMNS + CLICKS, BOX_COLUMNS[::-1]], ids=['V4', 'V6', 'other']
)
def test_columns_are_found_by_name(split, columns):
    split.columns = columns
    split.box('0a', DOG)
    (annotation,) = split.convert()['annotations']
    assert annotation['bboxes'] == [[20, 20, 40, 20]]  # x, y, width, height, though the file has XMin, XMax, YMin
    assert annotation['box_only'] and annotation['segmentations'] == [None]


def test_children_become_the_class_and_other_classes_stay_out(split):
    for mid in (MAN, POLAR_BEAR, PANDA, TEDDY, LIMOUSINE, BIRD):
        split.box('0a', mid)
    assert classes(split.convert()) == [(1, 0), (20, 0), (2, 0), (6, 0)]
    assert classes(split.convert('--target', 'ytvis2021')) == [(26, 0), (2, 0), (17, 0), (5, 0), (3, 0)]


@pytest.mark.parametrize(
    ('boxed', 'labels', 'known', 'whole'),
    [
        ([DOG], [], {'dog'}, True),
        ([DOG], [(CAR, 0)], {'dog', 'sedan'}, True),  # no car: no taxi, no limousine
        ([DOG], [(LIMOUSINE, 0)], {'dog'}, True),
        ([DOG], [(CAR, 1)], {'dog'}, True),  # present, but nobody drew its boxes
        ([DOG], [('/m/0k5j', 0)], {'dog', 'airplane'}, True),  # no aircraft, so no airplane
        ([DOG, MAN], [], {'dog', 'person'}, False),  # are there women?
        ([DOG, MAN], [(m, 0) for m in (WOMAN, PERSON)], {'dog', 'person'}, True),
        ([DOG, PERSON], [], {'dog', 'person'}, True),
        ([DOG, MONKEY], [(BIRD, 0)], {'dog', 'monkey'}, True),
    ],
)
def test_only_verified_classes_are_known(split, capsys, boxed, labels, known, whole):
    for mid in boxed:
        split.box('0a', mid)
    split.box('0b', DOG)
    split.image('0b')
    split.labels = [['0a', 'verification', mid, value] for mid, value in labels]
    split.labels.append(['0a', 'machine', BEAR, 0])  # a model's word does not count
    tree = {'LabelName': '/m/root', 'Subcategory': [{'LabelName': '/m/0k5j', 'Subcategory': []}]}
    tree['Subcategory'][0]['Subcategory'].append({'LabelName': '/m/0cmf2'})
    (split.folder / 'tree.json').write_text(json.dumps(tree))
    hierarchy = ['--hierarchy', split.folder / 'tree.json']
    gt = split.convert(*hierarchy)
    assert {c['name'] for c in gt['categories']} - unknown(gt) == known
    strict = split.convert(*hierarchy, '--only-verified')
    assert [v['file_names'] for v in strict['videos']] == ([['0a.jpg']] if whole else []) + [['0b.jpg']]
    background = split.convert(*hierarchy, '--unmapped', 'background')
    assert ('ape' in unknown(background)) == (MONKEY in boxed)  # an ape may be boxed as a monkey


def test_objects_without_a_mask_have_a_box_only(split, capsys):
    other = (0.0, 0.0, 0.2, 0.4)
    split.box('0a', DOG)
    split.box('0a', DOG, other)
    split.box('0a', MAN)
    split.mask('0a', DOG, half(other), tuple(c + 0.001 for c in other))  # no common key: about the same box
    gt = split.convert()
    assert [a.get('box_only', False) for a in gt['annotations']] == [True, False, True]
    masked = gt['annotations'][1]
    assert np.array_equal(decode_mask(masked['segmentations'][0], HEIGHT, WIDTH), half(other))
    assert masked['bboxes'] == [[0, 0, 8, 16]] and masked['areas'] == [128]  # the mask's, not the file's
    assert re.search(r'^dog +1 +1 +0', capsys.readouterr().out, re.MULTILINE)


@pytest.mark.parametrize('mode', ['1', 'L'])
def test_masks_have_a_size_of_their_own(split, mode):
    split.box('0a', DOG)
    split.mask('0a', DOG, half(size=(160, 80)), mode=mode)
    (annotation,) = split.convert()['annotations']
    assert np.array_equal(decode_mask(annotation['segmentations'][0], HEIGHT, WIDTH), half())


def test_a_mask_without_a_box_is_an_object(split, capsys):
    split.box('0a', MAN)
    split.mask('0a', DOG, half())
    assert classes(split.convert()) == [(1, 0), (8, 0)]
    assert 'masks without a box, taken as objects: 1' in capsys.readouterr().out


def test_archives_may_be_unpacked_in_folders(split):
    split.box('0a', DOG)
    mask = split.mask('0a', DOG, half())
    for path, folder in ((split.folder / 'images/0a.jpg', 'train_0'), (mask, 'train-masks-0')):
        (path.parent / folder).mkdir()
        path.rename(path.parent / folder / path.name)
    gt = split.convert()
    assert gt['videos'][0]['file_names'] == ['train_0/0a.jpg'] and gt['annotations'][0]['segmentations'][0]


@pytest.mark.parametrize('flag', ['IsGroupOf', 'IsDepiction', 'IsInside', 'machine'])
def test_groups_depictions_insides_and_machine_made_boxes(split, flag):
    option = dict(IsGroupOf='groups', IsDepiction='depictions', IsInside='insides', machine='machine-boxes')[flag]
    split.box('0a', DOG)
    marked = dict(source='activemil') if flag == 'machine' else {flag: 1}
    split.box('0a', MAN, **marked)
    split.box('0a', BEAR, IsGroupOf=-1, IsDepiction=-1, IsInside=-1)  # unknown is not set
    default = 0 if flag == 'machine' else 1
    assert classes(split.convert()) == [(8, 0), (1, default), (20, 0)]
    assert classes(split.convert(f'--{option}', 'ignore')) == [(8, 0), (1, 1), (20, 0)]
    assert classes(split.convert(f'--{option}', 'leave_out')) == [(8, 0), (20, 0)]


def test_rows_of_an_image_need_not_stand_together(split):
    split.image('0b')
    for image, mid in (('0a', DOG), ('0b', MAN), ('0a', BEAR), ('0b', DOG)):
        split.box(image, mid)
    gt = split.convert()
    assert [v['file_names'] for v in gt['videos']] == [['0a.jpg'], ['0b.jpg']]
    assert [(a['video_id'], a['category_id']) for a in gt['annotations']] == [(1, 8), (1, 20), (2, 1), (2, 8)]
    assert split.convert('--workers', 2) == gt


def test_pictures_turned_by_exif_are_left_out(split, capsys):
    split.image('0b', orientation=6)
    split.box('0a', DOG)
    split.box('0b', DOG)
    assert len(split.convert()['videos']) == 1
    assert 'images left out, turned (EXIF or the rotation file): 1' in capsys.readouterr().out
    taken = split.convert('--turned', 'take')['videos'][1]
    assert (taken['width'], taken['height']) == (HEIGHT, WIDTH)  # as the frame reader turns it
    split.mask('0b', DOG, half())  # the masks are of the picture that lies on its side
    assert len(split.convert('--turned', 'take')['videos']) == 1
    assert 'images left out, turned against its masks: 1' in capsys.readouterr().out


def test_images_of_the_rotation_file_are_left_out(split):
    for name in ('0b', '0c', '0d'):
        split.image(name)
    for name in ('0a', '0b', '0c', '0d'):
        split.box(name, DOG)
    rows = [['0a', 0.0], ['0b', 90.0], ['0c', ''], ['0d', 'nan']]
    gt = split.convert('--rotation', split.table('rotation.csv', ['ImageID', 'Rotation'], rows))
    assert [v['file_names'][0] for v in gt['videos']] == ['0a.jpg', '0c.jpg', '0d.jpg']


@pytest.mark.parametrize('header', [[], [['LabelName', 'DisplayName']]], ids=['none', 'header'])
def test_the_map_is_checked_against_the_class_descriptions(split, capsys, header):
    split.box('0a', DOG)
    path = split.table('names.csv', *(['LabelName', 'DisplayName'], []) if header else ([DOG, 'Dog'], []))
    with open(path, 'a') as file:
        file.write(f'{DOG},Dog\n{PANDA},Panda (Animal)\n')
    split.convert('--names', path)
    noted = next(line for line in capsys.readouterr().out.splitlines() if 'class descriptions' in line)
    assert 'Lizard /m/04m9y' in noted and DOG not in noted and PANDA not in noted


def test_what_is_missing_is_counted_and_the_rest_written(split, capsys):
    split.box('0a', DOG)
    split.box('0b', DOG)  # no picture
    split.box('0a', MAN, (0.5, 0.5, 0.501, 0.9))
    split.box('0a', BEAR)
    split.mask('0a', DOG, half())
    split.mask('0a', BEAR, half()).unlink()
    assert classes(split.convert()) == [(8, 0), (20, 0)]
    printed = capsys.readouterr().out
    assert 'images left out, no picture of it: 1' in printed
    assert 'masks without a PNG, boxes only: 1' in printed
    assert 'objects left out, a box under a pixel: 1' in printed


def test_common_classes_get_a_part_of_their_images(split, capsys):
    for place in range(12):
        split.image(f'{place:02}')
        split.box(f'{place:02}', MAN)
        if place == 5:
            split.box('05', DOG)
    found = classes(split.convert('--max-images-per-class', 3))
    assert found.count((8, 0)) == 1 and 3 <= found.count((1, 0)) <= 4
    assert 'its classes have enough images' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('fault', 'message'),
    [
        (lambda s: s.boxes[0].update(XMin='x'), 'boxes.csv: line 2: could not convert'),
        (lambda s: s.boxes[0].update(XMax=60), 'expected fractions'),
        (lambda s: setattr(s, 'columns', BOX_COLUMNS[:-1]), 'column IsInside: missing'),
        (lambda s: s.boxes[0].update(LabelName='/m/other'), 'none of a class of the map'),
        (lambda s: (s.folder / 'images/0a.jpg').unlink(), 'none of the 1 pictures is there'),
        (lambda s: s.mask('0a', DOG, half()).unlink(), 'none of the masks of'),
        (lambda s: s.mask('0a', DOG, half()).write_bytes(b'no'), 'not a picture that can be read'),
        (lambda s: s.labels.append(['0a', 'verification', CAR, '']), 'labels.csv: line 2'),
    ],
    ids=['number', 'pixels', 'column', 'classes', 'images', 'masks', 'damaged', 'label'],
)
def test_each_fault_is_one_error_and_nothing_is_written(split, capsys, fault, message):
    split.box('0a', DOG)
    fault(split)
    with pytest.raises(SystemExit):
        split.convert()
    error = capsys.readouterr().err
    assert message in error, error
    assert not [path for path in split.folder.iterdir() if 'out.json' in path.name]


def test_overlap_is_that_of_pixels():
    a, b = np.zeros((20, 20), bool), np.zeros((20, 20), bool)
    a[2:12, 3:9], b[6:15, 5:18] = True, True
    assert overlap((3, 2, 9, 12), (5, 6, 18, 15)) == pytest.approx((a & b).sum() / (a | b).sum())
    assert overlap((0, 0, 1, 1), (1, 1, 2, 2)) == overlap((0, 0, 0, 0), (0, 0, 0, 0)) == 0
