"""tools/benchmarks/data_pipeline.py at tiny size: the same samples on both sides, counts, rows."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / 'tools/benchmarks'))

import common  # noqa: E402
import data_pipeline  # noqa: E402
from data_pipeline import build_ours, build_peer, check_same, full_pipeline, peer_pipeline, same_pipeline  # noqa: E402
from video_files import decode, write_videos  # noqa: E402

pytestmark = pytest.mark.slow

SIZE = (90, 160)


@pytest.fixture(scope='module', params=['rle', 'polygon'])
def root(request, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    write_videos(folder, request.param, 2, 3, 2, SIZE)
    return folder


def test_files_have_the_kind_of_mask_and_boxes_that_fit(root):
    content = json.loads((root / 'ytvis.json').read_text())
    for track in content['annotations']:
        for mask, box, area in zip(track['segmentations'], track['bboxes'], track['areas'], strict=True):
            assert isinstance(mask, dict) == root.name.startswith('rle')
            rows, columns = decode(mask, *SIZE).nonzero()
            assert [columns.min(), rows.min()] == box[:2] and len(rows) == area
    assert len(json.loads((root / 'frames.json').read_text())['annotations']) == 2 * 3 * 2


def test_both_data_sets_give_the_same_samples(root):
    ours, peer = build_ours(root, same_pipeline()), build_peer(root, peer_pipeline())
    assert check_same(ours, peer) == 2 * 2 * 2  # videos, frames, masks
    assert check_same(ours, peer, (2, 1)) == 8


@pytest.mark.parametrize('name', ['images', 'masks', 'bboxes', 'labels', 'instances_ids'])
def test_samples_that_differ_are_refused(root, name, monkeypatch):
    ours, peer = build_ours(root, same_pipeline()), build_peer(root, peer_pipeline())
    real = data_pipeline._sample

    def broken(dataset, video, frames):
        sample = real(dataset, video, frames)
        instances = sample['data_samples'][1].gt_instances
        if dataset is peer and video == 1:
            if name == 'images':
                sample['inputs'][0, 0, 0, 0] += 1
            elif name == 'masks':
                instances.masks.masks[0, 0, 0] ^= 1
            else:
                instances[name] = instances[name] + 1
        return sample

    monkeypatch.setattr(data_pipeline, '_sample', broken)
    with pytest.raises(common.BenchmarkError, match=f'video 1: {name}'):
        check_same(ours, peer)


def test_shares_are_of_every_transform_and_leave_the_pipeline_as_it_was(root):
    dataset = build_ours(root, full_pipeline())
    found = data_pipeline.shares(dataset, 2)
    assert sum(found.values()) == pytest.approx(1) and all(0 <= share < 1 for share in found.values())
    assert {'LoadImageFromFile', 'LoadVideoAnnotations', 'RandomResize', 'PackTrackInputs', 'rest'} <= set(found)
    assert not any('transform' in vars(t) for t in dataset.pipeline.transforms)
    sides = [min(dataset[(0, 0)]['inputs'].shape[-2:]) for _ in range(3)]
    assert all(400 <= side <= 800 for side in sides)


def test_prints_tables_and_writes_rows(tmp_path, monkeypatch, capsys):
    out = tmp_path / 'rows.json'
    words = [
        '--videos',
        '1',
        '--frames',
        '2',
        '--instances',
        '1',
        '--samples',
        '1',
        '--runs',
        '1',
        '--threads',
        '1',
    ]
    monkeypatch.setattr(sys, 'argv', ['data_pipeline.py', *words, '--json', str(out)])
    monkeypatch.setattr(data_pipeline, 'step_seconds', lambda args: [3.0, 5.0])
    monkeypatch.setattr(data_pipeline, 'write_videos', lambda *args: write_videos(*args, SIZE))
    data_pipeline.main()
    rows = json.loads(out.read_text())['rows']
    assert set(rows['rle']['seconds']) == set(rows['polygon']['seconds']) and len(rows['rle']['seconds']) == 3
    seconds = rows['rle']['seconds']['mmdet, 640x360'][0]
    assert f'| rle | mmdet, 640x360 | {1 / seconds:.3g} |  | {4 / seconds:.0f} |' in capsys.readouterr().out
    assert np.isclose(sum(rows['rle']['shares'].values()), 1)
