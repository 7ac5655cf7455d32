"""The oracle study: its last row is 100, and less with any fault; the first is the model itself."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest

from maskprop.apis import inference_video
from maskprop.apis.oracle import OracleLinker, count_unseen, oracle_results, score_rows
from maskprop.evaluation import load_ground_truth, read_results, write_results
from tests.apis.oracle_set import SETTINGS, change, make, make_annotation, rectangle, write_oracle_set

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def root(tmp_path_factory) -> Path:
    return write_oracle_set(tmp_path_factory.mktemp('oracle_set'))


@pytest.fixture(scope='module')
def setting(root):
    return make(root)


def score(root: Path, results: dict, frame_stride: int = 1) -> dict[str, dict]:
    truth = load_ground_truth(root / 'annotations/val.json', frame_stride)
    return {row['name']: row for row in score_rows(truth, results)}


@pytest.mark.parametrize('name, frame_stride', [*((name, 1) for name in SETTINGS), ('detector_alone', 2)])
def test_last_row_is_100(root, tmp_path, name, frame_stride):
    """With random weights, as a results file of the YouTube-VIS server."""
    model, dataset = make(root, name, test_dataloader__dataset__frame_stride=frame_stride)
    results = oracle_results(model, dataset)
    for row, records in results.items():
        write_results(tmp_path / f'{row}.json', records)
    results = {row: read_results(tmp_path / f'{row}.json') for row in results}
    rows = score(root, results, frame_stride)
    assert list(rows) == ['model', 'box', 'class', 'mask', 'track']
    for metric in ('AP', 'AP50', 'AP75', 'AR100'):
        assert rows['track'][metric] == pytest.approx(1, abs=1e-12)
    assert rows['class']['AP'] < 0.9  # not for nothing
    gains = [row['gain'] for row in rows.values()]
    assert gains[0] is None and sum(gains[1:]) == pytest.approx(rows['track']['AP'] - rows['model']['AP'])


def swap_id(content: dict) -> None:
    """The last frame of the last object belongs to another id."""
    last = content['annotations'][-1]
    torn = deepcopy(last)
    for key in ('segmentations', 'bboxes', 'areas'):
        torn[key] = [None] * 5 + [last[key][5]]
        last[key][5] = None
    content['annotations'].append({**torn, 'id': last['id'] + 1})


def move_mask(content: dict) -> None:
    content['annotations'][-1]['segmentations'][4] = rectangle(0, 0, 20, 30)


def change_class(content: dict) -> None:
    content['annotations'][-1]['category_id'] = 9


@pytest.mark.parametrize('edit', [swap_id, move_mask, change_class])
def test_one_fault_costs_the_last_row_its_100(root, edit):
    """The oracle is told one wrong id, mask or class; the evaluation knows better."""
    file = change(root, edit.__name__, edit)
    model, dataset = make(root, 'detector_alone', test_dataloader__dataset__ann_file=file)
    assert 0.5 < score(root, oracle_results(model, dataset))['track']['AP'] < 0.999


def test_first_row_is_the_model_itself(root, setting):
    model, dataset = setting
    expected = []
    for video in range(len(dataset)):
        info = dataset.get_data_info(video)
        folder = Path(info['images'][0]['img_path']).parent
        expected += inference_video(model, folder, video_id=info['video_id'])
    assert expected and oracle_results(model, dataset)['model'] == expected


def test_mask_row_has_true_masks_and_the_models_ids(root):
    """A tracker that never knows an object again gives every mask an id; filling adds nothing to the truth."""
    for name, linker in (('detector_alone', dict(type='BoxIoULinker', threshold=1.0)), ('filling', None)):
        model, dataset = make(root, name, model__min_frames=1)
        model.stream = replace(model.stream, linker=linker or model.stream.linker)
        results = oracle_results(model, dataset)
        found, ids, expected = [], set(), []
        for record in results['mask']:
            found += [(record['video_id'], t, s['counts']) for t, s in enumerate(record['segmentations']) if s]
            ids.add((record['video_id'], record['track_id']))
        for video in map(dataset.get_data_info, range(len(dataset))):
            for t, image in enumerate(video['images']):
                kept = [i['mask']['counts'] for i in image['instances'] if not i['ignore_flag']]
                expected += [(video['video_id'], t, c.decode() if isinstance(c, bytes) else c) for c in kept]
        assert sorted(found) == sorted(expected)
        if linker is not None:
            assert len(ids) == len(expected)
        wanted = {a for v in range(3) for i in dataset.get_data_info(v)['images'] for a in ids_of(i)}
        assert {record['track_id'] for record in results['track']} == wanted


def ids_of(image: dict) -> list[int]:
    return [i['instance_id'] for i in image['instances'] if not i['ignore_flag']]


def test_linker_wants_an_id_for_each_instance():
    linker = OracleLinker([[7, 5], [4]])
    assert linker.link([0, 0]) == [7, 5]
    with pytest.raises(ValueError, match='frame 1: 2 instances, but 1 ids'):
        linker.link([0, 0])
    assert linker.link([0]) == [4]
    with pytest.raises(ValueError, match='frame 2: 0 instances, but none ids'):
        linker.link([])


def test_objects_without_any_mask_are_counted(root):
    def add(content: dict) -> None:
        for number, crowd in ((80, 0), (81, 1)):
            content['annotations'].append({**make_annotation(2, 1, [None] * 6, crowd), 'id': number})

    for file, expected in (('annotations/val.json', 0), (change(root, 'unseen', add), 1)):
        assert count_unseen(load_ground_truth(root / file)) == expected
