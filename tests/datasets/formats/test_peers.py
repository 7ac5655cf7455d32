"""Other libraries read what is written here, and their files are read. They are optional: skipped without them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from maskprop.datasets.rle import decode_mask
from maskprop.datasets.ytvis_json import load_ytvis

from .sources import assert_tracks, block, import_annotations, run_export, tracks_of, write_frames
from .test_round_trips import make_set

ONE, TWO = block(2, 8, 2, 9), block(10, 15, 12, 20)
VIDEOS = dict(a=['00000.jpg', '00001.jpg', '00002.jpg'], b=['00000.jpg', '00001.jpg'])
TRACKS = dict(a=[('dog', [ONE, None, TWO]), ('köpek', [TWO, TWO, ONE])], b=[('dog', [ONE, TWO])])


@pytest.fixture
def gt(tmp_path) -> Path:
    return make_set(tmp_path / 'set.json', TRACKS, VIDEOS)


@pytest.fixture
def images(tmp_path) -> Path:
    return write_frames(tmp_path / 'images', VIDEOS)


def datumaro_dataset():
    """The set as Datumaro has it."""
    pytest.importorskip('datumaro', reason='pip install datumaro')
    try:
        from datumaro.components.annotation import Mask
        from datumaro.components.dataset import Dataset
        from datumaro.components.dataset_base import DatasetItem
        from datumaro.components.media import Image
    except (ImportError, AttributeError) as error:  # it imports lazily, without checks
        pytest.skip(f'this datumaro cannot be imported: {error}')
    names = ['dog', 'köpek', 'unused']
    items = []
    for video, files in VIDEOS.items():
        for frame, name in enumerate(files):
            masks = [
                Mask(tracks[frame], label=names.index(label), attributes=dict(track_id=number))
                for number, (label, tracks) in enumerate(TRACKS[video], start=1)
                if tracks[frame] is not None
            ]
            picture = Image.from_numpy(np.full((20, 30, 3), 90, np.uint8))
            items.append(DatasetItem(f'{video}/{name[:-4]}', subset='train', media=picture, annotations=masks))
    return Dataset.from_iterable(items, categories=names)


def test_datumaros_json_is_read(tmp_path, images):
    datumaro_dataset().export(str(tmp_path / 'dm'), 'datumaro', save_media=False)
    content = import_annotations(tmp_path / 'dm', tmp_path / 'all.json', '--images', images)
    assert_tracks(content, TRACKS)


def test_datumaros_mots_is_read(tmp_path, images):
    datumaro_dataset().export(str(tmp_path / 'dm'), 'mots_png', save_media=False)
    content = import_annotations(tmp_path / 'dm', tmp_path / 'all.json', '--images', images)
    assert_tracks(content, TRACKS)


def test_datumaro_reads_our_mots(tmp_path, gt):
    datumaro_dataset()
    from datumaro.components.dataset import Dataset

    run_export(gt, tmp_path / 'mots', '--to', 'mots')
    found = Dataset.import_from(str(tmp_path / 'mots'), 'mots')
    items = {item.id: item for item in found}
    assert sorted(items) == [f'{video}/{name[:-4]}' for video, names in VIDEOS.items() for name in names]
    masks = {(m.label, m.attributes['track_id']): m.image for m in items['a/00002'].annotations}
    assert sorted(masks) == [(0, 1), (1, 2)]
    assert np.array_equal(masks[0, 1], TWO) and np.array_equal(masks[1, 2], ONE)


def test_datumaros_cvat_is_read(tmp_path):
    """Its tracks of polygons; tracks of masks it can't read, so ours are read by CVAT alone."""
    datumaro_dataset()
    from datumaro.components.annotation import Polygon
    from datumaro.components.dataset import Dataset
    from datumaro.components.dataset_base import DatasetItem
    from datumaro.components.media import Image

    items = []
    for frame in range(3):
        left = 2 + frame
        state = dict(track_id=1, keyframe=True, outside=frame == 2)
        shape = Polygon([left, 4, left + 6, 4, left + 6, 10, left, 10], label=0, attributes=state)
        picture = Image.from_numpy(np.zeros((20, 30, 3), np.uint8))
        more = dict(subset='a', media=picture, attributes=dict(frame=frame))
        items.append(DatasetItem(str(frame), annotations=[shape], **more))
    dataset = Dataset.from_iterable(items, categories=['dog'])
    dataset.export(str(tmp_path / 'dm'), 'cvat', save_media=False, use_track=True)
    images = write_frames(tmp_path / 'images', dict(a=['x.jpg', 'y.jpg', 'z.jpg']))
    content = import_annotations(tmp_path / 'dm', tmp_path / 'all.json', '--images', images)
    assert_tracks(content, dict(a=[('dog', [block(4, 10, 2, 8), block(4, 10, 3, 9), None])]))


def runs_of(rle: dict) -> dict:
    """The same mask with uncompressed runs, down the columns."""
    pixels = decode_mask(rle, *rle['size']).reshape(-1, order='F')
    ends = np.flatnonzero(np.diff(pixels, prepend=0, append=2))
    return dict(size=rle['size'], counts=np.diff(ends, prepend=0).tolist())


def test_labelformat_reads_what_we_import_and_we_read_what_it_writes(tmp_path, gt, images):
    labelformat = pytest.importorskip('labelformat.formats.youtubevis', reason='pip install labelformat')
    run_export(gt, tmp_path / 'mots', '--to', 'mots')
    content = import_annotations(tmp_path / 'mots', tmp_path / 'ours.json', '--images', images)
    for annotation in content['annotations']:  # it takes RLE with a list of runs alone
        annotation['segmentations'] = [None if m is None else runs_of(m) for m in annotation['segmentations']]
    (tmp_path / 'ours.json').write_text(json.dumps(content))
    given = labelformat.YouTubeVISInstanceSegmentationTrackInput(tmp_path / 'ours.json')
    assert [len(video.objects) for video in given.get_labels()] == [2, 1]
    labelformat.YouTubeVISInstanceSegmentationTrackOutput(tmp_path / 'theirs.json').save(given)
    theirs = json.loads((tmp_path / 'theirs.json').read_text())
    for annotation in theirs['annotations']:
        annotation.setdefault('iscrowd', 0)
    names = {video['id']: video for video in load_ytvis(tmp_path / 'ours.json')['videos']}
    for video in theirs['videos']:
        video['file_names'] = names[video['id']]['file_names']  # it keeps the folder alone
    (tmp_path / 'theirs.json').write_text(json.dumps(theirs))
    assert_tracks(load_ytvis(tmp_path / 'theirs.json'), tracks_of(load_ytvis(tmp_path / 'ours.json')))
