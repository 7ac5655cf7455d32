"""PNGs of objects: objects come back from the annotation file as they were, and what is no object is told."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter
from pycocotools import mask as mask_api

from maskprop.datasets.ytvis_json import find_problems, load_ytvis

from .sources import SHARED, SIZE, assert_tracks, block, import_annotations, run_import, write_frames


def save_mask(path: Path, mask: np.ndarray) -> None:
    """An indexed picture, whose colours are not its values."""
    picture = Image.fromarray(mask, mode='P')
    picture.putpalette(list(range(255, -1, -1)) * 3)
    picture.save(path)


@pytest.fixture
def folders(tmp_path) -> tuple[Path, Path]:
    """Two videos: cat has objects 1 and 7 in two of three frames, the last is empty; dog has one object."""
    images, masks = tmp_path / 'images', tmp_path / 'masks'
    for video, frames in (('cat', ('2', '10', '11')), ('dog', ('0',))):
        for folder in (images, masks):
            (folder / video).mkdir(parents=True)
        for name in frames:
            Image.new('RGB', SIZE[::-1]).save(images / video / f'{name}.jpg')
    mask = np.zeros(SIZE, np.uint8)
    mask[2:8, 3:9] = 1
    mask[0, 0] = 255
    save_mask(masks / 'cat/2.png', mask)
    mask[10:15, 20:28] = 7
    save_mask(masks / 'cat/10.png', mask)
    save_mask(masks / 'cat/11.png', np.zeros(SIZE, np.uint8))
    save_mask(masks / 'dog/0.png', (mask == 7).astype(np.uint8))
    return images, masks


def run(images: Path, masks: Path, out: Path, *options: object) -> None:
    run_import(masks, out, '--images', images, *options)


def test_objects_come_back(folders, tmp_path, capsys):
    out, classes = tmp_path / 'new/all.json', tmp_path / 'classes.json'
    classes.write_text(json.dumps(dict(cat={'1': 'zebra', '7': 'ant'}, dog='zebra')))
    run(*folders, out, '--classes', classes)
    assert not [problem for problem in find_problems(out, folders[0]) if problem.severity == 'error']
    content = load_ytvis(out)
    assert [category['name'] for category in content['categories']] == ['ant', 'zebra']
    assert [video['file_names'] for video in content['videos']] == [
        ['cat/2.jpg', 'cat/10.jpg', 'cat/11.jpg'],
        ['dog/0.jpg'],
    ]
    first, second, third = content['annotations']
    assert [a['category_id'] for a in (first, second, third)] == [2, 1, 2]
    present = [[s is not None for s in a['segmentations']] for a in (first, second, third)]
    assert present == [[True, True, False], [False, True, False], [True]]
    mask = np.zeros(SIZE, np.uint8)
    mask[10:15, 20:28] = 1
    assert np.array_equal(mask_api.decode(second['segmentations'][1]), mask)
    assert second['bboxes'][1] == [20, 10, 8, 5] and second['areas'][1] == 40
    assert '3 objects of 2 classes' in capsys.readouterr().out


def test_without_classes_all_are_objects_and_binary_masks_are_one(folders, tmp_path):
    mask = np.zeros(SIZE, np.uint8)
    mask[4:6] = 255
    for name in ('cat/2', 'cat/10', 'cat/11', 'dog/0'):
        Image.fromarray(mask).save(folders[1] / f'{name}.png')
    run(*folders, tmp_path / 'all.json', '--binary')
    content = load_ytvis(tmp_path / 'all.json')
    assert [a['areas'][0] for a in content['annotations']] == [60, 60]
    assert [category['name'] for category in content['categories']] == ['object']


def colours(images: Path, masks: Path) -> None:
    Image.new('RGB', SIZE[::-1]).save(masks / 'cat/10.png')


def sixteen_bits(images: Path, masks: Path) -> None:
    Image.fromarray(np.zeros(SIZE, np.uint16)).save(masks / 'cat/2.png')


def larger(images: Path, masks: Path) -> None:
    Image.new('L', (31, 20)).save(masks / 'cat/10.png')


def larger_frame(images: Path, masks: Path) -> None:
    Image.new('RGB', (31, 20)).save(images / 'cat/11.jpg')


def stray(images: Path, masks: Path) -> None:
    (masks / 'cat/2.png').rename(masks / 'cat/3.png')


def binary(images: Path, masks: Path) -> None:
    Image.fromarray(np.full(SIZE, 255, np.uint8)).save(masks / 'dog/0.png')


def damaged(images: Path, masks: Path) -> None:
    (masks / 'cat/2.png').write_bytes(b'no picture')


def cut_short(images: Path, masks: Path) -> None:
    content = (masks / 'cat/2.png').read_bytes()
    (masks / 'cat/2.png').write_bytes(content[: len(content) - 30])


def turned(images: Path, masks: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new('RGB', SIZE[::-1]).save(images / 'cat/11.jpg', exif=exif)


def no_frames(images: Path, masks: Path) -> None:
    (images / 'dog/0.jpg').unlink()


@pytest.mark.parametrize(
    'spoil, expected',
    [
        (colours, 'cat/10.png: has colours, other pictures of the video values'),
        (sixteen_bits, 'cat/2.png: a picture of mode I;16; expected an indexed or grey PNG'),
        (larger, 'cat/10.png: 31x20, but the frames are 30x20'),
        (larger_frame, 'cat/11.jpg: another size than 2.jpg, which is 30x20'),
        (stray, 'masks/cat: 3.png: '),
        (binary, 'dog: no object, all values are 0 or 255: pass --binary'),
        (damaged, 'cat/2.png: not a picture'),
        (no_frames, 'images has no folder dog'),
        (cut_short, 'cat/2.png: not a picture that can be read'),
        (turned, 'cat/11.jpg: turned by its EXIF orientation'),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_written(folders, tmp_path, spoil, expected, capsys):
    spoil(*folders)
    with pytest.raises(SystemExit):
        run(*folders, tmp_path / 'all.json')
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line]
    assert expected in line and not (tmp_path / 'all.json').exists()


@pytest.mark.parametrize(
    'classes, expected',
    [
        (dict(cat={'1': 'cat'}, dog='dog'), 'classes: none for object 7 of the video cat'),
        (dict(cat='cat'), 'classes: none for object 1 of the video dog'),
        (['cat'], 'is to have {"VIDEO"'),
    ],
)
def test_classes_that_lack_something(folders, tmp_path, classes, expected, capsys):
    (tmp_path / 'classes.json').write_text(json.dumps(classes))
    with pytest.raises(SystemExit):
        run(*folders, tmp_path / 'all.json', '--classes', tmp_path / 'classes.json')
    assert expected in capsys.readouterr().err


def test_classes_beside_the_videos_are_found_in_a_zip_of_the_folder(folders, tmp_path):
    images, masks = folders
    (masks / 'classes.json').write_text(json.dumps(dict(cat={'1': 'zebra', '7': 'ant'}, dog='zebra')))
    archive = shutil.make_archive(str(tmp_path / 'top'), 'zip', masks.parent, masks.name)
    run(images, Path(archive), tmp_path / 'all.json')
    assert [c['name'] for c in load_ytvis(tmp_path / 'all.json')['categories']] == ['ant', 'zebra']


def test_classes_outside_of_the_source_are_not_taken(folders, tmp_path):
    images, masks = folders
    (masks / 'classes.json').write_text(json.dumps(dict(cat={'1': 'zebra', '7': 'ant'})))
    run(images, masks / 'cat', tmp_path / 'all.json')  # the frames of one video
    assert [c['name'] for c in load_ytvis(tmp_path / 'all.json')['categories']] == ['object']


def test_a_file_that_is_there_is_kept(folders, tmp_path, capsys):
    out = tmp_path / 'all.json'
    out.write_text('mine')
    with pytest.raises(SystemExit):
        run(*folders, out)
    assert out.read_text() == 'mine' and 'pass --overwrite' in capsys.readouterr().err
    run(*folders, out, '--overwrite')
    assert load_ytvis(out)


def test_a_video_without_objects_is_kept_and_hidden_folders_are_none(folders, tmp_path):
    images, masks = folders
    Image.new('L', SIZE[::-1]).save(masks / 'dog/0.png')
    (masks / 'cat/2.png').rename(masks / 'cat/2.PNG')
    (images / '.ipynb_checkpoints').mkdir()
    with pytest.warns(UserWarning, match='dog: no object in any frame; the video is kept'):
        run(*folders, tmp_path / 'all.json')
    content = load_ytvis(tmp_path / 'all.json')
    assert [video['file_names'][0] for video in content['videos']] == ['cat/2.jpg', 'dog/0.jpg']
    assert {annotation['video_id'] for annotation in content['annotations']} == {1}
    assert content['annotations'][0]['segmentations'][0] is not None


def test_frames_without_a_mask_are_refused_unless_the_user_says_what_they_are(folders, tmp_path, capsys):
    images, masks = folders
    (masks / 'cat/10.png').unlink()
    with pytest.raises(SystemExit):
        run(images, masks, tmp_path / 'all.json')
    error = capsys.readouterr().err
    assert 'cat: 1 of 3 frames have no annotation (one in 2 has), the first: cat/10.jpg' in error
    assert '--unannotated skip' in error and '--unannotated absent' in error and not list(tmp_path.glob('*.json'))
    run(images, masks, tmp_path / 'skip.json', '--unannotated', 'skip')
    run(images, masks, tmp_path / 'absent.json', '--unannotated', 'absent')
    first = block(2, 8, 3, 9)
    assert_tracks(
        load_ytvis(tmp_path / 'skip.json'),
        dict(cat=[('object', [first, None])], dog=[('object', [block(10, 15, 20, 28)])]),
    )
    skipped, absent = (load_ytvis(tmp_path / f'{name}.json')['videos'][0] for name in ('skip', 'absent'))
    assert skipped['file_names'] == ['cat/2.jpg', 'cat/11.jpg'] and skipped['length'] == 2
    assert absent['file_names'] == ['cat/2.jpg', 'cat/10.jpg', 'cat/11.jpg']


def test_folders_without_masks_are_left_out_and_named(folders, tmp_path):
    images, masks = folders
    (masks / 'dog/0.png').unlink()
    with pytest.warns(UserWarning, match='1 folders have frames but no annotations, the first: dog'):
        run(images, masks, tmp_path / 'all.json')
    assert len(load_ytvis(tmp_path / 'all.json')['videos']) == 1


def smoothed(value: int) -> Image.Image:
    """A square of a value whose edges a filter smoothed, grey."""
    mask = np.zeros(SIZE, np.uint8)
    mask[4:16, 6:22] = value
    return Image.fromarray(mask).filter(ImageFilter.GaussianBlur(1))


def test_smoothed_edges_are_no_objects(folders, tmp_path, capsys):
    images, masks = folders
    smoothed(255).save(masks / 'dog/0.png')
    with pytest.raises(SystemExit):
        run(images, masks, tmp_path / 'all.json')
    error = capsys.readouterr().err
    assert 'dog: values' in error and 'only edges' in error and 'pass --binary' in error
    assert not (tmp_path / 'all.json').exists()
    run(images, masks, tmp_path / 'binary.json', '--binary')
    assert len(load_ytvis(tmp_path / 'binary.json')['annotations']) == 2  # one in each video


def test_smoothed_edges_around_numbers_are_warned_of(folders, tmp_path):
    smoothed(40).save(folders[1] / 'dog/0.png')
    with pytest.warns(UserWarning, match='dog: values .* are only edges, as where masks were smoothed'):
        run(*folders, tmp_path / 'all.json')


@pytest.mark.filterwarnings('error')
def test_objects_beside_a_large_ignored_region_are_objects(folders, tmp_path):
    mask = np.full(SIZE, 255, np.uint8)
    mask[2:5, 3:6], mask[8:9, 3:4] = 1, 2  # the second is tiny
    Image.fromarray(mask).save(folders[1] / 'dog/0.png')
    run(*folders, tmp_path / 'all.json')
    dog = [a for a in load_ytvis(tmp_path / 'all.json')['annotations'] if a['video_id'] == 2]
    assert [a['areas'] for a in dog] == [[9], [1]]


COLOURS = {1: (255, 0, 0), 2: (0, 0, 255)}


def coloured(mask: np.ndarray) -> Image.Image:
    pixels = np.zeros((*SIZE, 3), np.uint8)
    for value, colour in COLOURS.items():
        pixels[mask == value] = colour
    return Image.fromarray(pixels)


@pytest.fixture
def two_objects() -> np.ndarray:
    mask = np.zeros(SIZE, np.uint8)
    mask[2:6, 2:6], mask[10:16, 12:20] = 1, 2
    return mask


def test_colours_are_objects(tmp_path, two_objects):
    images = write_frames(tmp_path / 'images', {'視頻': ['0.jpg', '1.jpg'], 'b': ['0.jpg']})
    for name in ('視頻/0', '視頻/1', 'b/0'):
        (tmp_path / 'masks' / name).parent.mkdir(parents=True, exist_ok=True)
        coloured(two_objects).save(tmp_path / f'masks/{name}.png')
    Image.new('RGBA', SIZE[::-1], (9, 9, 9, 0)).save(tmp_path / 'masks/視頻/1.png')  # transparent: nothing
    classes = {'視頻': {'#ff0000': '猫', '#0000ff': 'dog'}, 'b': 'dog'}
    (tmp_path / 'masks/classes.json').write_text(json.dumps(classes))
    content = import_annotations(tmp_path / 'masks', tmp_path / 'all.json', '--images', images)
    small, large = two_objects == 1, two_objects == 2
    expected = {'b': [('dog', [large]), ('dog', [small])], '視頻': [('dog', [large, None]), ('猫', [small, None])]}
    assert_tracks(content, expected)


def test_colours_of_a_photograph_or_of_smoothed_edges_are_refused(tmp_path, two_objects, capsys):
    images = write_frames(tmp_path / 'images', {'a': ['0.jpg']})
    (tmp_path / 'masks/a').mkdir(parents=True)
    rng = np.random.default_rng(0)
    for picture, expected in (
        (Image.fromarray(rng.integers(0, 256, (40, 60, 3), np.uint8)), 'but the frames are 30x20'),
        (coloured(two_objects).filter(ImageFilter.GaussianBlur(1)), 'are only edges'),
    ):
        picture.save(tmp_path / 'masks/a/0.png')
        with pytest.raises(SystemExit):
            run_import(tmp_path / 'masks', tmp_path / 'all.json', '--images', images)
        assert expected in capsys.readouterr().err


def test_palettes_that_differ_are_refused_until_the_user_says_what_counts(tmp_path, two_objects, capsys):
    """A tool that sorts each frame's palette anew: value 1 is red in one frame and blue in the next."""
    images = write_frames(tmp_path / 'images', {'a': ['0.jpg', '1.jpg']})
    (tmp_path / 'masks/a').mkdir(parents=True)
    swapped = np.array([0, 2, 1], np.uint8)[two_objects]
    for frame, (mask, order) in enumerate([(two_objects, (1, 2)), (swapped, (2, 1))]):
        picture = Image.fromarray(mask, mode='P')
        picture.putpalette([0, 0, 0, *COLOURS[order[0]], *COLOURS[order[1]]])
        picture.save(tmp_path / f'masks/a/{frame}.png')
    args = (tmp_path / 'masks', tmp_path / 'all.json', '--images', images, '--overwrite')
    with pytest.raises(SystemExit):
        run_import(*args)
    error = capsys.readouterr().err
    assert (
        'a/1.png: value 1 has the colour (0, 0, 255), but (255, 0, 0) in 0.png' in error and '--by colour' in error
    )
    small, large = two_objects == 1, two_objects == 2
    content = import_annotations(*args, '--by', 'colour')
    assert_tracks(content, dict(a=[('object', [large, large]), ('object', [small, small])]))
    content = import_annotations(*args, '--by', 'value')
    assert_tracks(content, dict(a=[('object', [small, large]), ('object', [large, small])]))


@pytest.mark.skipif(not (SHARED / 'cases/masks_sparse').is_dir(), reason='needs ../shared/cases')
def test_masks_of_every_fifth_frame(tmp_path, capsys):
    case = SHARED / 'cases/masks_sparse'
    args = (case / 'masks', tmp_path / 'all.json', '--images', case / 'images')
    with pytest.raises(SystemExit):
        run_import(*args)
    assert '4 of 6 frames have no annotation (one in 5 has)' in capsys.readouterr().err
    content = import_annotations(*args, '--unannotated', 'skip')
    assert [video['file_names'] for video in content['videos']] == [['v1/00000.jpg', 'v1/00005.jpg']]
    assert [a['areas'] for a in content['annotations']] == [[600, 600], [400, 400]]


@pytest.mark.skipif(not (SHARED / 'cases/masks_smoothed').is_dir(), reason='needs ../shared/cases')
def test_smoothed_masks(tmp_path, capsys):
    case = SHARED / 'cases/masks_smoothed'
    with pytest.raises(SystemExit):
        run_import(case / 'masks', tmp_path / 'all.json', '--images', case / 'images')
    error = capsys.readouterr().err
    assert 'are only edges' in error and 'pass --binary' in error and 'without interpolation' in error
    args = (case / 'masks', tmp_path / 'all.json', '--images', case / 'images', '--binary')
    assert len(import_annotations(*args)['annotations']) == 1
