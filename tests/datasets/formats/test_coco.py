"""COCO with tracks: CVAT's export, CocoVID, and mmdet's converters."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import pytest

from maskprop.datasets.ytvis_json import AnnotationError, load_ytvis
from maskprop.evaluation import EvalInputError, load_ground_truth

from .sources import SHARED, SIZE, assert_tracks, block, import_annotations, run_import, tracks_of


def polygon(left: int) -> list[list[float]]:
    """A square of 6 pixels' side."""
    return [[left, 4, left + 6, 4, left + 6, 10, left, 10]]


def square(left: int):
    return block(4, 10, left, left + 6)


def image(number: int, name: str, **more: object) -> dict:
    return dict(id=number, file_name=name, height=SIZE[0], width=SIZE[1], **more)


def annotation(number: int, image_id: int, left: int, category: int = 1, **track: object) -> dict:
    shape = dict(segmentation=polygon(left), bbox=[left, 4, 6, 6], area=36, iscrowd=0)
    return dict(id=number, image_id=image_id, category_id=category, **shape, **track)


def cvat(track: int) -> dict:
    return dict(attributes=dict(track_id=track, occluded=False, keyframe=True))


CATEGORIES = [dict(id=3, name='dog'), dict(id=1, name='person')]


def write(path: Path, images: list, annotations: list, **more: object) -> Path:
    content = dict(dict(images=images, annotations=annotations, categories=CATEGORIES), **more)
    path.write_text(json.dumps(content, ensure_ascii=False), encoding='utf-8')
    return path


def test_cvat_two_videos_ids_that_begin_anew_and_frames_out_of_order(tmp_path):
    images = [image(9, 'b/10.jpg'), image(2, '犬/1.jpg'), image(3, 'b/2.jpg'), image(4, 'b/9.jpg')]
    annotations = [
        annotation(1, 9, 2, **cvat(0)),
        annotation(2, 2, 20, 3, **cvat(0)),
        annotation(3, 3, 4, **cvat(0)),
        annotation(4, 4, 8, **cvat(0)),
        annotation(5, 3, 20, **cvat(0)),  # a second piece
        annotation(6, 4, 12, 3, **cvat(0)),  # the same id of another class in the same frame: another object
    ]
    content = import_annotations(write(tmp_path / 'x.json', images, annotations), tmp_path / 'all.json')
    expected = {
        'b': [('person', [square(4) | square(20), square(8), square(2)]), ('dog', [None, square(12), None])],
        '犬': [('dog', [square(20)])],
    }
    assert_tracks(content, expected)
    assert [video['file_names'] for video in content['videos']][0] == ['b/2.jpg', 'b/9.jpg', 'b/10.jpg']
    assert {category['name']: category['id'] for category in content['categories']} == dict(dog=3, person=1)


def test_a_class_that_changes_is_the_most_frequent_one(tmp_path):
    images = [image(n, f'a/{n}.jpg') for n in range(3)]
    annotations = [annotation(n + 1, n, 2, category, **cvat(7)) for n, category in enumerate((3, 1, 1))]
    source = write(tmp_path / 'x.json', images, annotations)
    with pytest.warns(UserWarning, match='the class of 1 objects changes, .* person in 2 frames, dog in 1'):
        content = import_annotations(source, tmp_path / 'all.json')
    assert_tracks(content, dict(a=[('person', [square(2)] * 3)]))


def test_coco_vid_orders_by_frame_id_and_keeps_crowds(tmp_path):
    images = [image(1, 'late.jpg', video_id=5, frame_id=1), image(2, 'z_first.jpg', video_id=5, frame_id=0)]
    annotations = [
        dict(annotation(1, 1, 2, instance_id=40, video_id=5), iscrowd=1),
        annotation(2, 2, 6, instance_id=40, video_id=5),
    ]
    videos = [dict(id=5, name='v', width=SIZE[1], height=SIZE[0])]
    content = import_annotations(
        write(tmp_path / 'x.json', images, annotations, videos=videos), tmp_path / 'o.json'
    )
    assert content['videos'][0]['file_names'] == ['z_first.jpg', 'late.jpg']
    assert [a['iscrowd'] for a in content['annotations']] == [1]


def test_images_without_annotations(tmp_path, capsys):
    images = [image(n, f'a/{n}.jpg') for n in range(4)]
    source = write(tmp_path / 'x.json', images, [annotation(1, 0, 2, **cvat(1)), annotation(2, 2, 2, **cvat(1))])
    with pytest.raises(SystemExit):
        run_import(source, tmp_path / 'all.json')
    assert (
        'video a: 2 of 4 frames have no annotation (one in 2 has), the first: a/1.jpg' in capsys.readouterr().err
    )
    content = import_annotations(source, tmp_path / 'all.json', '--unannotated', 'absent')
    assert_tracks(content, dict(a=[('person', [square(2), None, square(2), None])]))


@pytest.mark.parametrize(
    'records, expected',
    [
        ([annotation(1, 1, 2, **cvat(1)), annotation(2, 1, 2)], 'annotation 2: no track'),
        ([dict(annotation(1, 1, 2, **cvat(1)), segmentation=[])], 'annotation 1: a box without a mask'),
        ([annotation(1, 5, 2, **cvat(1))], 'annotations[0]: image_id: 5: no such image'),
        ([annotation(1, 1, 2, 8, **cvat(1))], 'category_id: 8 is not listed'),
        (
            [dict(annotation(1, 1, 2, **cvat(1)), segmentation=[[1, 2, 3, 4]])],
            'segmentation: a polygon of 4 numbers',
        ),
        ([annotation(1, 1, 2)], 'it has no tracks. As still images: maskprop stills coco'),
    ],
)
def test_what_is_wrong_is_named(tmp_path, capsys, records, expected):
    source = write(tmp_path / 'x.json', [image(1, 'a/1.jpg')], records)
    with pytest.raises(SystemExit):
        run_import(source, tmp_path / 'all.json')
    assert expected in capsys.readouterr().err


def test_two_images_of_one_frame_number_have_no_order(tmp_path, capsys):
    images = [image(n, f'a/{n}.jpg', video_id=1, frame_id=0) for n in (1, 2)]
    source = write(tmp_path / 'x.json', images, [annotation(1, 1, 2, **cvat(1))], videos=[dict(id=1, name='a')])
    with pytest.raises(SystemExit):
        run_import(source, tmp_path / 'all.json')
    assert 'frame_id: a/1.jpg and a/2.jpg have 0; number the frames' in capsys.readouterr().err


def test_other_tools_name_the_format_and_the_command(tmp_path):
    source = write(tmp_path / 'x.json', [image(1, 'a/1.jpg')], [annotation(1, 1, 2, **cvat(1))])
    expected = f'{source}: not in YouTube-VIS format; this is COCO with tracks: maskprop import'
    with pytest.raises(AnnotationError) as error:
        load_ytvis(source)
    assert str(error.value).startswith(expected) and '\n' not in str(error.value)
    with pytest.raises(EvalInputError) as error:
        load_ground_truth(source)
    assert str(error.value).startswith(expected)


def test_mmdets_converter(tmp_path, monkeypatch):
    """What mmdet makes of YouTube-VIS is read back as it was."""
    import mmdet

    converter = Path(mmdet.__file__).parent / '.mim/tools/dataset_converters/youtubevis2coco.py'
    if not converter.is_file():
        pytest.skip('this mmdet comes without its converters')
    source = write(
        tmp_path / 'x.json',
        [image(n, f'a/{n}.jpg') for n in range(3)] + [image(3, 'b/0.jpg')],
        [annotation(1, 0, 2, **cvat(1)), annotation(2, 2, 6, **cvat(1)), annotation(3, 1, 9, 2, **cvat(2))]
        + [annotation(4, 3, 1, 2, **cvat(1))],
        categories=[dict(id=1, name='person'), dict(id=2, name='dog')],  # it takes ids to be 1, 2, ...
    )
    (tmp_path / 'set').mkdir()
    for split in ('train', 'valid', 'test'):
        first = import_annotations(source, tmp_path / f'set/{split}.json')
    converted = runpy.run_path(str(converter))['convert_vis']
    converted(str(tmp_path / 'set'), str(tmp_path / 'coco'), '2019', 'train')
    again = import_annotations(tmp_path / 'coco/youtube_vis_2019_train.json', tmp_path / 'again.json')
    assert_tracks(again, tracks_of(first))
    assert again['categories'] == first['categories'] and 'mmdet' in sys.modules


@pytest.mark.skipif(not (SHARED / 'cases/cvat_coco_tracks').is_dir(), reason='needs ../shared/cases')
def test_the_shared_case(tmp_path):
    content = import_annotations(SHARED / 'cases/cvat_coco_tracks/coco.json', tmp_path / 'all.json')
    assert [video['length'] for video in content['videos']] == [3]
    assert [a['areas'] for a in content['annotations']] == [[600, 600, 600]]
    assert [category['name'] for category in content['categories']] == ['car']


def test_ids_may_be_floats_or_texts(tmp_path):
    """Image 1.0 is image 1, and object "7" object 7; all of a file may be texts."""
    images = [image(1, 'a/1.jpg'), image(2.0, 'a\\2.jpg')]
    found = [
        annotation(1, 1.0, 2, 1.0, **cvat(7)),
        annotation(2, 2, 4, **cvat('7')),
        annotation(3, 2, 12, **cvat('x')),
    ]
    content = import_annotations(write(tmp_path / 'x.json', images, found), tmp_path / 'a.json')
    person = [('person', [None, square(12)]), ('person', [square(2), square(4)])]
    assert_tracks(content, dict(a=person))
    for record in found:
        record['image_id'], record['category_id'] = f'i{record["image_id"]:.0f}', '1'
    images = [image('i1', 'a/1.jpg'), image('i2', 'a/2.jpg')]
    source = write(tmp_path / 'y.json', images, found, categories=[dict(id='1', name='person')])
    assert_tracks(import_annotations(source, tmp_path / 'b.json'), dict(a=person))


@pytest.mark.parametrize(
    'change, expected',
    [
        (
            dict(annotations=[annotation(1, '1', 2, **cvat(1))]),
            "image_id: '1': no such image in the file, but there is",
        ),
        (
            dict(annotations=[annotation(1, [1], 2, **cvat(1))]),
            'annotations[0]: image_id: found [1]; expected an id',
        ),
        (dict(annotations=[annotation(1, 1, 2, '1', **cvat(1))]), "category_id: '1' is not listed in categories"),
        (
            dict(images=[image(1, 'a/1.jpg'), image(1, 'a/2.jpg')]),
            'images[1]: id: a second one of 1; give each its own',
        ),
        (dict(images=[image(1, 'a/1.jpg'), 7]), 'images[1]: found 7; expected an object'),
        (dict(images=[dict(image(1, 'a/1.jpg'), width='30')]), "image 1: height, width: found 20, '30'; expected"),
        (dict(images=[image(1, '')]), "image 1: file_name: found ''; expected a name"),
        (dict(categories=[dict(id=1, name='a'), dict(id=1, name='b')]), 'categories[1]: id: a second one of 1'),
        (dict(categories=[dict(name='a')]), 'categories[0]: id: found nothing; expected an id'),
        (dict(categories=[dict(id=1)]), 'categories: id 1: name: found nothing; expected a name'),
        (dict(categories={'1': 'a'}), "categories: found {'1': 'a'}; expected a list"),
        (dict(videos=[dict(id=1), dict(id=1)]), 'videos[1]: id: a second one of 1'),
    ],
)
def test_records_that_are_wrong_are_named_with_their_file(tmp_path, capsys, change, expected):
    content = dict(images=[image(1, 'a/1.jpg')], annotations=[annotation(1, 1, 2, **cvat(1))])
    with pytest.raises(SystemExit):
        run_import(write(tmp_path / 'x.json', **{**content, **change}), tmp_path / 'all.json')
    error = capsys.readouterr().err
    assert 'x.json: ' in error and expected in error


def test_ids_that_youtube_vis_has_not_are_numbered_anew(tmp_path):
    categories = [dict(id=1, name='person'), dict(id=2**40, name='dog')]
    source = write(
        tmp_path / 'x.json', [image(1, 'a/1.jpg')], [annotation(1, 1, 2, **cvat(1))], categories=categories
    )
    assert [c['id'] for c in import_annotations(source, tmp_path / 'all.json')['categories']] == [1, 2]
