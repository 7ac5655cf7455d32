"""Detections from files: which frame they are of, what is kept, and complaints before anything runs."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as mask_utils

import maskprop

maskprop.register_all()

from mmdet.registry import DATASETS, TASK_UTILS  # noqa: E402

from maskprop.datasets.listed_frames import ListedFrames, find_by_path  # noqa: E402
from maskprop.datasets.ytvis_json import AnnotationError  # noqa: E402
from maskprop.evaluation.validation import EvalInputError  # noqa: E402
from maskprop.ops.masks import encode_mask  # noqa: E402
from maskprop.tracking import FileDetections  # noqa: E402

SIZES = {7: (20, 30), 3: (24, 24)}  # video -> height, width; neither in the order of ids nor of one size
LENGTHS = {7: 5, 3: 7}
ORDER = [(video, t) for video in SIZES for t in range(LENGTHS[video])]
NAMES = {4: 'cat', 2: 'dog'}  # labels 1 and 0


def name(video: int, t: int) -> str:
    return f'v{video}/{t:05d}.jpg'


def rle(video: int, area: int) -> dict:
    """A mask of so many pixels, down the first columns."""
    mask = np.zeros(SIZES[video], dtype=np.uint8, order='F')
    mask.reshape(-1, order='F')[:area] = 1
    return encode_mask(mask)


@pytest.fixture
def ann_file(tmp_path) -> Path:
    videos = [
        dict(id=v, height=h, width=w, length=LENGTHS[v], file_names=[name(v, t) for t in range(LENGTHS[v])])
        for v, (h, w) in SIZES.items()
    ]
    path = tmp_path / 'valid.json'
    path.write_text(json.dumps(dict(videos=videos, categories=[dict(id=i, name=n) for i, n in NAMES.items()])))
    return path


def write(folder: Path, content, file: str = 'dets.json') -> Path:
    (folder / file).write_text(json.dumps(content))
    return folder / file


def coco(image_id: int, video: int, t: int, **more) -> dict:
    """A detection that says by its box, and by its mask's area, which frame it is of."""
    box = [video, t, 2.5, 3.25]
    return {
        **dict(image_id=image_id, category_id=4, score=0.5, bbox=box, segmentation=rle(video, 10 * video + t)),
        **more,
    }


def all_frames(ids: dict | None = None) -> list[dict]:
    return [coco(ids[name(v, t)] if ids else n, v, t) for n, (v, t) in enumerate(ORDER, 1)]


def meta(video: int, t: int, prefix: str = 'data/JPEGImages/') -> dict:
    return dict(video_id=video, img_path=prefix + name(video, t), ori_shape=SIZES[video])


def test_images_are_numbered_as_mmdets_converter_does(ann_file, tmp_path):
    import mmdet

    tool = Path(mmdet.__file__).parent / '.mim/tools/dataset_converters/youtubevis2coco.py'
    if not tool.is_file():
        pytest.skip('this installation of mmdet came without its tools')
    runpy.run_path(str(tool))['convert_vis'](str(ann_file.parent), str(tmp_path / 'out'), '2019', 'valid')
    images = json.loads((tmp_path / 'out/youtube_vis_2019_valid.json').read_text())['images']
    frames = ListedFrames(ann_file)
    assert [i['id'] for i in images] == list(range(1, len(ORDER) + 1))
    for image in images:
        assert frames.number(frames.find(image['video_id'], f'some/folder/{image["file_name"]}')) == image['id']


@pytest.mark.parametrize('stride, part', [(1, (0, 1)), (2, (0, 1)), (3, (0.3, 1)), (1, (0, 0.5))])
def test_the_frames_of_a_data_set_get_their_own_detections(ann_file, tmp_path, stride, part):
    """By position in the file, by a list of images, and from tracks of the same frames or of all."""
    dataset = DATASETS.build(
        dict(
            type='YouTubeVISJsonDataset',
            ann_file=str(ann_file),
            data_prefix=dict(img_path=str(tmp_path / 'images')),
            frame_stride=stride,
            frame_range=part,
            test_mode=True,
            pipeline=[],
        )
    )
    listed = {name(v, t): 1000 - n for n, (v, t) in enumerate(ORDER)}
    images = [dict(id=i, file_name=f'valid/JPEGImages/{n}') for n, i in listed.items()]
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    used = {info['video_id']: [i['file_name'] for i in info['images']] for info in infos}
    of_used = [
        dict(
            video_id=v,
            category_id=4,
            score=0.5,
            segmentations=[rle(v, 10 * v + int(n[-9:-4])) for n in files],
        )
        for v, files in used.items()
    ]
    of_all = [
        dict(
            video_id=v,
            category_id=4,
            score=0.5,
            segmentations=[rle(v, 10 * v + t) for t in range(LENGTHS[v])],
        )
        for v in SIZES
    ]
    options = dict(file=str(write(tmp_path, all_frames())), format='coco', ann_file=str(ann_file))
    tracks = dict(format='ytvis', ann_file=str(ann_file))
    sources = [
        TASK_UTILS.build(dict(type='FileDetections', **options)),
        FileDetections(
            write(tmp_path, all_frames(listed), 'other.json'),
            'coco',
            ann_file,
            image_ids=write(tmp_path, dict(images=images), 'coco.json'),
        ),
        FileDetections(write(tmp_path, of_used, 'used.json'), **tracks, frame_stride=stride, frame_range=part),
        FileDetections(write(tmp_path, of_all, 'all.json'), **tracks),
    ]
    for info in infos:
        for image in info['images']:
            frame = dict(**image, ori_shape=(image['height'], image['width']))
            video, t = int(image['file_name'][1]), int(image['file_name'][-9:-4])
            for source in sources:
                (found,) = source.instances(frame)
                assert mask_utils.area(found['mask']) == 10 * video + t
                assert (found['bbox_label'], found['score']) == (1, 0.5)
            for source in sources[:2]:
                assert source.instances(frame)[0]['bbox'] == [video, t, video + 2.5, t + 3.25]


def test_what_is_kept_of_a_frame(ann_file, tmp_path):
    polygon = [[2, 3, 12, 3, 12, 8, 2, 8]]
    runs = dict(size=[20, 30], counts=[25, 4, 571])
    records = [
        coco(2, 7, 1, score=0.3),
        coco(2, 7, 1, score=0.1),  # not above the threshold
        coco(3, 7, 2),
        coco(2, 7, 1, score=0.9, category_id=2),
        coco(2, 7, 1, segmentation=polygon, bbox=None),
        coco(2, 7, 1, segmentation=runs, bbox=None),
        coco(2, 7, 1, segmentation=rle(7, 0)),  # the detector's box stays, as its own model keeps it
        coco(2, 7, 1, segmentation=rle(7, 0), bbox=None),
    ]
    source = FileDetections(write(tmp_path, records), 'coco', ann_file)
    assert source.classes == ('dog', 'cat')
    found = source.instances(meta(7, 1))
    assert [(f['score'], f['bbox_label']) for f in found] == [(0.3, 1), (0.9, 0), (0.5, 1), (0.5, 1), (0.5, 1)]
    assert found[0]['bbox'] == [7, 1, 9.5, 4.25] and found[0]['mask'] == rle(7, 71)
    assert found[2]['bbox'] == [2, 3, 12, 8] and mask_utils.decode(found[2]['mask'])[3:8, 2:12].all()
    assert found[3]['bbox'] == [1, 5, 2, 9] and mask_utils.area(found[3]['mask']) == 4  # column 1, rows 5 to 8
    assert found[4]['bbox'] == [7, 1, 9.5, 4.25] and mask_utils.area(found[4]['mask']) == 0
    assert source.instances(meta(3, 0)) == []
    surer = FileDetections(write(tmp_path, records), 'coco', ann_file, score_thr=0.5)
    assert [f['score'] for f in surer.instances(meta(7, 1))] == [0.9]


def test_tracks_give_their_frames_only(ann_file, tmp_path):
    masks = [None, rle(7, 9), [], rle(7, 0), rle(7, 3)]
    results = [dict(video_id=7, category_id=c, score=s, segmentations=masks) for c, s in ((4, 0.4), (2, 0.2))]
    source = FileDetections(write(tmp_path, results), 'ytvis', ann_file)
    assert [len(source.instances(meta(7, t))) for t in range(5)] == [0, 2, 0, 0, 2]
    first, second = source.instances(meta(7, 1))
    assert first == dict(bbox=[0, 0, 1, 9], bbox_label=1, score=0.4, mask=rle(7, 9))
    assert second == {**first, 'bbox_label': 0, 'score': 0.2}


def test_names_are_found_by_the_end_of_a_path():
    entries = {'a/0.jpg': 1, 'b/a/0.jpg': 2, '0.jpg': 3, 'x': 0}
    assert find_by_path(entries, 'b/a/0.jpg') == find_by_path(entries, '/data/b/a/0.jpg') == 2
    assert find_by_path(entries, 'c/a/0.jpg') == find_by_path(entries, 'data\\a\\0.jpg') == 1
    assert find_by_path(entries, 'data/10.jpg') is None
    assert find_by_path(entries, 'y/x') == 0


def bad(**change) -> list[dict]:
    changed = {**coco(2, 7, 1), **change}
    return [coco(1, 7, 0), {k: v for k, v in changed.items() if v != 'gone'}]


@pytest.mark.parametrize(
    'content, message',
    [
        (dict(annotations=[]), "format 'coco' are a list"),
        ([3], r'results\[0\]: found 3. It must be an object'),
        (bad(image_id='gone'), r'results\[1\]: "image_id": is missing'),
        (bad(image_id=0), r'results\[1\]: "image_id": found 0, but .*valid.json has frames 1 to 12. Number all'),
        (bad(image_id=13), r'results\[1\]: "image_id": found 13'),
        (bad(category_id=3), r'results\[1\]: "category_id": found 3, but .* has the categories \[2, 4\]. Map'),
        (bad(score='high'), r'results\[1\]: "score": found \'high\''),
        (bad(score=95), r'results\[1\]: "score": found 95.0. It must be from 0 to 1'),
        (bad(segmentation='gone'), r'results\[1\]: "segmentation": is missing'),
        (bad(segmentation=rle(3, 5)), r'results\[1\]: "segmentation": RLE of size \[24, 24\] in a video of'),
        (bad(segmentation=dict(size=[20, 30], counts='9')), r'results\[1\]: "segmentation": RLE with runs that'),
        (bad(bbox=[1, 2, 3]), r'results\[1\]: "bbox": found \[1, 2, 3\]. It must be \[x, y, width, height\]'),
        (bad(bbox=[9, 9, 3, -2]), r'results\[1\]: "bbox": .*not two corners'),
        (bad(bbox=[1, 2, 3, None]), r'results\[1\]: "bbox": is null'),
    ],
)
def test_bad_detections(ann_file, tmp_path, content, message):
    with pytest.raises(EvalInputError, match=message) as error:
        FileDetections(write(tmp_path, content), 'coco', ann_file)
    assert str(error.value).startswith(str(tmp_path / 'dets.json'))


def track(**change) -> list[dict]:
    good = dict(video_id=7, category_id=4, score=0.5, segmentations=[rle(7, 4)] * 5)
    return [good, {**good, **change}]


@pytest.mark.parametrize(
    'content, message',
    [
        (track(video_id=9), r'results\[1\] \(video 9\): "video_id": .*valid.json has no such video'),
        (track(category_id=1), r'results\[1\] \(video 7\): "category_id": found 1'),
        (track(segmentations=[None] * 3), r'"segmentations": 3 entries; expected .* 5 of the 5 .*frame_stride'),
        (track(segmentations=[None] * 6), r'"segmentations": 6 entries, but video 7 has 5 frames'),
        (
            track(segmentations=[rle(7, 4)] * 4 + [rle(3, 4)]),
            r'results\[1\] \(video 7\) frame 4: "segm.*RLE of size',
        ),
    ],
)
def test_bad_tracks(ann_file, tmp_path, content, message):
    with pytest.raises(EvalInputError, match=message):
        FileDetections(write(tmp_path, content), 'ytvis', ann_file)


@pytest.mark.parametrize(
    'images, message',
    [
        (None, 'coco.json: "images": no list of images'),
        ([dict(id=1)], r'images\[0\]: "file_name": is missing'),
        ([dict(id=1, file_name='elsewhere.jpg')], "no image is a frame of .*'elsewhere.jpg'.*must end as there"),
        ([dict(id=1, file_name=name(7, t)) for t in (0, 1)], r'images\[1\]: "id": a second image 1'),
        ([dict(id=i, file_name=p + name(7, 0)) for i, p in ((1, ''), (2, 'x/'))], 'that image 1 is already'),
    ],
)
def test_bad_lists_of_images(ann_file, tmp_path, images, message):
    file, listed = write(tmp_path, all_frames()), write(tmp_path, dict(images=images), 'coco.json')
    with pytest.raises(EvalInputError, match=message):
        FileDetections(file, 'coco', ann_file, image_ids=listed)


def test_images_of_other_videos_are_left_out_and_missing_frames_complained_of(ann_file, tmp_path):
    images = [dict(id=5, file_name=name(7, 0)), dict(id=6, file_name='v8/00000.jpg')]
    options = dict(image_ids=write(tmp_path, dict(images=images), 'coco.json'))
    file = write(tmp_path, [coco(5, 7, 0), coco(6, 7, 0), coco(6, 7, 0)])
    with pytest.warns(UserWarning, match='2 detections are of images that .*valid.json does not list'):
        source = FileDetections(file, 'coco', ann_file, **options)
    assert len(source.instances(meta(7, 0))) == 1
    with pytest.raises(EvalInputError, match='00001.jpg .video 7.: frame 1 of its video is not among those of'):
        source.instances(meta(7, 1))
    with pytest.raises(EvalInputError, match='found 7, but .*coco.json has no such image'):
        FileDetections(write(tmp_path, [coco(7, 7, 0)]), 'coco', ann_file, **options)
    halves = [dict(video_id=7, category_id=4, score=0.5, segmentations=[rle(7, 4)] * 3)]
    source = FileDetections(write(tmp_path, halves), 'ytvis', ann_file, frame_stride=2)
    assert len(source.instances(meta(7, 4))) == 1
    with pytest.raises(EvalInputError, match='frame 3 of its video is not among .*frame_stride'):
        source.instances(meta(7, 3))


def test_frames_that_the_file_cannot_know(ann_file, tmp_path):
    source = FileDetections(write(tmp_path, all_frames()), 'coco', ann_file)
    with pytest.raises(EvalInputError, match='without img_path'):
        source.instances({**meta(7, 0), 'img_path': None})
    with pytest.raises(EvalInputError, match='valid.json lists no such frame of this video'):
        source.instances({**meta(7, 0), 'video_id': 3})
    with pytest.raises(EvalInputError, match=r'the image is \(20, 31\), but the video \(20, 30\)'):
        source.instances({**meta(7, 0), 'ori_shape': (20, 31)})


def test_bad_keys(ann_file, tmp_path):
    file = write(tmp_path, [])
    for options, message in (
        (dict(format='csv'), "format='csv' is unknown"),
        (dict(format='coco', frame_stride=2), "are of format='ytvis'"),
        (dict(format='ytvis', image_ids='x.json'), "is of format='coco'"),
        (dict(format='ytvis', frame_stride=0), 'frame_stride: found 0'),
    ):
        with pytest.raises(ValueError, match=message):
            FileDetections(file, ann_file=ann_file, **options)
    twice = json.loads(ann_file.read_text())
    twice['videos'][0]['file_names'][4] = name(7, 1)
    with pytest.raises(AnnotationError, match="video 7, file_names: 'v7/00001.jpg' is listed twice"):
        FileDetections(file, 'coco', write(tmp_path, twice, 'twice.json'))
