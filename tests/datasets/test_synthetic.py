"""Procedural synthetic sets: the same bytes every time, exact masks, and clips in which tracking matters."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools import mask as mask_api

from maskprop.apis.synthetic_report import describe_set, format_report
from maskprop.datasets.synthetic.procedural import ProceduralClips
from maskprop.datasets.synthetic.rendering import Layer, visible_masks
from maskprop.datasets.synthetic.scene import SceneSettings
from maskprop.datasets.synthetic.shapes import CATEGORY_NAMES, OUTLINE_AREA, outline
from maskprop.datasets.synthetic.writer import encode_track, write_set
from maskprop.datasets.ytvis_json import find_problems, load_ytvis

TOOL = Path(__file__).parents[2] / 'tools' / 'make_synthetic.py'
SMALL = SceneSettings(height=48, width=80, frames=6)


def make(
    out: Path, seed: int = 0, workers: int = 1, settings: SceneSettings = SMALL, train: int = 3, val: int = 2
):
    write_set(out, ProceduralClips(settings, seed, min_area=8), {'train': train, 'val': val}, workers)
    return out


def fingerprints(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob('*') if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope='module')
def small_set(tmp_path_factory):
    return make(tmp_path_factory.mktemp('sets') / 'small')


def masks_by_frame(gt: dict):
    """(video, frame) -> the decoded masks there."""
    result = {(v['id'], f): [] for v in gt['videos'] for f in range(len(v['file_names']))}
    for annotation in gt['annotations']:
        for frame, segmentation in enumerate(annotation['segmentations']):
            if segmentation is not None:
                result[annotation['video_id'], frame].append(mask_api.decode(segmentation).astype(bool))
    return result


def test_same_seed_gives_same_bytes_with_any_number_of_workers(small_set, tmp_path):
    expected = fingerprints(small_set)
    assert len(expected) == 2 + 5 * SMALL.frames
    assert fingerprints(make(tmp_path / 'again')) == expected
    assert fingerprints(make(tmp_path / 'parallel', workers=2)) == expected


def test_another_seed_gives_another_set(small_set, tmp_path):
    first, second = fingerprints(small_set), fingerprints(make(tmp_path / 'other', seed=1))
    assert first.keys() == second.keys()
    assert not any(first[name] == second[name] for name in first)


def test_a_larger_set_begins_with_the_smaller_and_no_picture_comes_twice(small_set, tmp_path):
    larger = fingerprints(make(tmp_path / 'larger', train=4))
    smaller = fingerprints(small_set)
    pictures = [name for name in smaller if name.endswith('.jpg')]
    assert all(larger[name] == smaller[name] for name in pictures)
    assert len({smaller[name] for name in pictures}) == len(pictures)


@pytest.mark.parametrize('split', ['train', 'val'])
def test_files_are_valid_and_pictures_are_there(small_set, split):
    path = small_set / 'annotations' / f'{split}.json'
    assert find_problems(path, image_root=small_set / 'JPEGImages') == []
    gt = load_ytvis(path, require_annotations=True)
    assert [c['name'] for c in gt['categories']] == list(CATEGORY_NAMES[:5])
    assert {v['id'] for v in gt['videos']} == {a['video_id'] for a in gt['annotations']}
    picture = cv2.imread(str(small_set / 'JPEGImages' / gt['videos'][0]['file_names'][0]))
    assert picture.shape == (48, 80, 3)


def test_visible_regions_do_not_overlap(small_set):
    gt = json.loads((small_set / 'annotations' / 'train.json').read_text())
    counts = [np.sum(masks, axis=0) for masks in masks_by_frame(gt).values() if len(masks) > 1]
    assert counts and max(count.max() for count in counts) == 1


def test_boxes_and_areas_are_those_of_the_masks(small_set):
    gt = json.loads((small_set / 'annotations' / 'train.json').read_text())
    seen = 0
    for a in gt['annotations']:
        assert a['iscrowd'] == 0
        for mask, box, area in zip(a['segmentations'], a['bboxes'], a['areas'], strict=True):
            if mask is None:
                assert box is None and area is None
                continue
            rows, columns = np.nonzero(mask_api.decode(mask))
            size = [columns.max() - columns.min() + 1, rows.max() - rows.min() + 1]
            assert box == [columns.min(), rows.min(), *size]
            assert area == rows.size >= 8
            seen += 1
    assert seen


def test_the_object_in_front_hides_the_one_behind():
    full = Layer(0, 0, np.ones((4, 4), np.float32))
    half = Layer(2, 0, np.ones((4, 2), np.float32))
    outcome = visible_masks({0: full, 1: half}, (0, 1), 4, 6)
    assert outcome[1][0].sum() == 8 and outcome[1][1] == 1.0
    assert outcome[0][0].sum() == 8 and outcome[0][1] == pytest.approx(0.5)
    hidden = visible_masks({0: half, 1: full}, (0, 1), 4, 6)
    assert not hidden[0][0].any() and hidden[1][0].sum() == 16


def test_a_pixel_shared_in_equal_parts_belongs_to_nobody():
    left = Layer(0, 0, np.full((1, 1), 0.5, np.float32))
    right = Layer(0, 0, np.ones((1, 1), np.float32))
    outcome = visible_masks({0: right, 1: left}, (0, 1), 1, 1)
    assert not outcome[0][0].any() and not outcome[1][0].any()


def test_encode_track_writes_null_where_absent():
    mask = np.zeros((4, 5), bool)
    mask[1:3, 2:5] = True
    track = encode_track([mask, None])
    assert track['bboxes'] == [[2.0, 1.0, 3.0, 2.0], None]
    assert track['areas'] == [6, None]
    assert track['segmentations'][1] is None
    np.testing.assert_array_equal(mask_api.decode(track['segmentations'][0]), mask)


@pytest.mark.parametrize('category', range(len(CATEGORY_NAMES)))
def test_outlines_have_one_area_and_lie_around_the_origin(category):
    canvas = np.zeros((400, 400), np.uint8)
    contours = [np.round(points * 100 + 200).astype(np.int32) for points in outline(category)]
    cv2.fillPoly(canvas, contours, 1)
    rows, columns = np.nonzero(canvas)
    assert canvas.sum() / 100**2 == pytest.approx(OUTLINE_AREA, rel=0.03)
    assert abs(rows.mean() - 200) < 20 and abs(columns.mean() - 200) < 20
    assert min(rows.min(), columns.min()) > 0 and max(rows.max(), columns.max()) < 399


def hue_of_objects(correlation: float) -> list[np.ndarray]:
    """For each of two categories, the hue (0 to 1) in the middle of every object of some clips."""
    hues = [[], []]
    settings = SceneSettings(height=64, width=96, frames=1, categories=2, colour_correlation=correlation)
    for index in range(25):
        clip = ProceduralClips(settings, 0, 8)('train', index)
        hsv = cv2.cvtColor(clip.frames[0].astype(np.float32) / 255, cv2.COLOR_BGR2HSV)
        for category, masks in zip(clip.category_ids, clip.masks, strict=True):
            pixels = hsv[masks[0]]
            hues[category - 1].append(np.median(pixels[:, 0]) / 360)
    return [np.array(values) for values in hues]


def test_colour_correlation_binds_hue_to_category():
    def share_near(hues: np.ndarray, centre: float) -> float:
        return float(np.mean(np.abs((hues - centre + 0.5) % 1 - 0.5) < 0.2))

    bound, free = hue_of_objects(1.0), hue_of_objects(0.0)
    assert share_near(bound[0], 0.0) > 0.9 and share_near(bound[1], 0.5) > 0.9
    assert share_near(free[0], 0.0) < 0.7 and share_near(free[1], 0.5) < 0.7


@pytest.mark.slow
def test_default_set_needs_tracking(tmp_path):
    make(tmp_path / 'set', workers=2, settings=SceneSettings(), train=0, val=40)
    assert not (tmp_path / 'set' / 'annotations' / 'train.json').exists()
    report = describe_set(
        load_ytvis(tmp_path / 'set' / 'annotations' / 'val.json'), strides=(4,), motion_videos=12
    )
    assert report['crossing_share'] >= 0.3
    assert report['oracle_ap']['4']['box_iou'] <= 80 and report['oracle_ap']['4']['copy'] <= 80
    assert report['occluded_frame_share'] > 0.2 and report['blurred_frame_share'] > 0.2
    assert report['visible_share'] < 1
    # Not hopeless either: the shape is still that of the object some frames later, elsewhere.
    assert report['copy_iou']['7-10'] < 0.35 < 0.5 < report['shift_iou']['7-10']
    assert 'ids by box IoU' in format_report(report)


def test_a_finished_set_is_left_alone_and_another_is_not_overwritten(small_set, tmp_path):
    counts = {'train': 3, 'val': 2}
    before = (small_set / 'annotations' / 'train.json').stat().st_mtime_ns
    assert write_set(small_set, ProceduralClips(SMALL, 0, 8), counts, workers=1) is False
    assert (small_set / 'annotations' / 'train.json').stat().st_mtime_ns == before
    with pytest.raises(FileExistsError, match='--overwrite'):
        write_set(small_set, ProceduralClips(SMALL, 5, 8), counts, workers=1)

    copy = make(tmp_path / 'set', seed=5, train=4)
    assert write_set(copy, ProceduralClips(SMALL, 0, 8), counts, workers=1, overwrite=True)
    assert fingerprints(copy) == fingerprints(small_set)


@pytest.mark.parametrize(
    'keys',
    [dict(height=8), dict(frames=0), dict(categories=99), dict(colour_correlation=1.5), dict(objects=(3, 2))],
)
def test_bad_settings_are_refused_by_name(keys):
    with pytest.raises(ValueError, match='size' if 'height' in keys else next(iter(keys))):
        SceneSettings(**keys)


def test_no_videos_is_refused(tmp_path):
    for counts in ({'train': 0, 'val': 0}, {'train': -1, 'val': 2}):
        with pytest.raises(ValueError, match='number of videos'):
            write_set(tmp_path, ProceduralClips(SMALL, 0, 8), counts)


def test_scenes_are_bound_to_the_height():
    """Twice the size shows the same scene: the objects cover about the same share of the picture."""
    shares = []
    for factor in (1, 2):
        settings = SceneSettings(height=48 * factor, width=80 * factor, frames=3, crossing_share=0.0)
        clips = [ProceduralClips(settings, 3, 8 * factor**2)('val', index) for index in range(6)]
        masks = itertools.chain.from_iterable(itertools.chain.from_iterable(clip.masks for clip in clips))
        shares.append(np.mean([mask.mean() for mask in masks if mask is not None]))
    assert shares[0] == pytest.approx(shares[1], rel=0.25)


def run_tool(*arguments: object) -> subprocess.CompletedProcess:
    root = TOOL.parents[1]
    command = [sys.executable, str(TOOL), *map(str, arguments)]
    environment = os.environ | {'PYTHONPATH': str(root)}
    return subprocess.run(command, capture_output=True, text=True, cwd=root, env=environment)


@pytest.mark.slow
def test_tool_writes_and_reports(tmp_path):
    keys = [
        '--videos',
        2,
        '--val-videos',
        1,
        '--size',
        '48x80',
        '--frames',
        4,
        '--workers',
        1,
        '--strides',
        1,
    ]
    done = run_tool(tmp_path / 'set', *keys)
    assert done.returncode == 0, done.stderr
    assert 'train: 2/2 videos' in done.stdout and 'at frame stride 1' in done.stdout
    again = run_tool('--report-only', tmp_path / 'set', '--strides', 1)
    assert again.stdout.strip() and again.stdout.strip() in done.stdout
    nothing = run_tool('--report-only', tmp_path)
    assert nothing.returncode == 1 and f'{tmp_path}/annotations: no annotation file there' in nothing.stderr
    clash = run_tool(tmp_path / 'set', *keys, '--seed', 4)
    assert (
        clash.returncode == 1
        and clash.stderr.startswith('make_synthetic.py: error: ')
        and '--overwrite' in clash.stderr
    )


class BreaksOff(ProceduralClips):
    """Fails at the last training video, as on a full disk."""

    def __call__(self, split, index):
        if index == 2:
            raise OSError('no space left')
        return super().__call__(split, index)


def test_a_set_that_breaks_off_leaves_the_old_one(small_set, tmp_path):
    old = make(tmp_path / 'set')
    counts = {'train': 3, 'val': 2}
    with pytest.raises(OSError, match='no space left'):
        write_set(old, BreaksOff(SMALL, 7, 8), counts, workers=1, overwrite=True)
    assert fingerprints(old) == fingerprints(small_set)
    (old / '.unfinished_left').mkdir()  # of a process that was killed
    write_set(old, ProceduralClips(SMALL, 7, 8), counts, workers=1, overwrite=True)
    assert fingerprints(old) == fingerprints(make(tmp_path / 'new', seed=7))
    assert not list(old.glob('.*'))


@pytest.mark.slow
def test_a_kill_while_sets_are_exchanged_leaves_no_mixture(tmp_path, monkeypatch):
    """At each rename: the old set, the new one, or none."""
    counts, new = {'train': 2, 'val': 1}, ProceduralClips(SMALL, 7, 8)
    wanted = fingerprints(make(tmp_path / 'new', seed=7, train=2, val=1))
    replace, renames = os.replace, []
    for kill_at in range(30):
        out = make(tmp_path / f'set{kill_at}', train=2, val=1)
        old = fingerprints(out)
        renames.clear()

        def killed(source, target, kill_at=kill_at, renames=renames):
            if len(renames) == kill_at:
                raise KeyboardInterrupt
            renames.append(source)
            replace(source, target)

        monkeypatch.setattr(os, 'replace', killed)
        try:
            write_set(out, new, counts, workers=1, overwrite=True)
        except KeyboardInterrupt:
            done = False
        else:
            done = True
        monkeypatch.setattr(os, 'replace', replace)
        found = fingerprints(out)
        for split in ('train', 'val'):
            if (out / 'annotations' / f'{split}.json').is_file():
                of_split = {name: key for name, key in found.items() if split in name}
                assert of_split in [{n: k for n, k in whole.items() if split in n} for whole in (old, wanted)]
        write_set(out, new, counts, workers=1, overwrite=True)
        assert fingerprints(out) == wanted
        if done:
            break
    assert done and kill_at > 6
