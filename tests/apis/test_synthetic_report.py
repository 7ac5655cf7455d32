"""The linkers and figures of the report, against plain forms and hand-made clips."""

from __future__ import annotations

import numpy as np
import pytest

from maskprop.apis.synthetic_report import crossing_share, describe_set, motion_figures, oracle_ap
from maskprop.datasets.synthetic.oracles import (
    Observation,
    link_by_box_iou,
    link_by_copying,
    observations_by_video,
    oracle_results,
)
from maskprop.datasets.synthetic.writer import encode_track
from maskprop.datasets.ytvis_json import decode_mask

HEIGHT, WIDTH = 20, 60


def square(x: float, y: float = 5, side: int = 8) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[max(round(y), 0) : round(y) + side, max(round(x), 0) : round(x) + side] = True
    return mask


def make_gt(*tracks: tuple[int, list]) -> dict:
    """One video; each track is (category id, masks)."""
    length = len(tracks[0][1])
    video = {
        'id': 1,
        'height': HEIGHT,
        'width': WIDTH,
        'length': length,
        'file_names': [f'{i}.jpg' for i in range(length)],
    }
    annotations = [
        {'id': i, 'video_id': 1, 'category_id': category, 'iscrowd': 0, **encode_track(masks)}
        for i, (category, masks) in enumerate(tracks, start=1)
    ]
    categories = [{'id': 1, 'name': 'a'}, {'id': 2, 'name': 'b'}]
    return {'videos': [video], 'annotations': annotations, 'categories': categories}


def observations(gt: dict) -> list[Observation]:
    [(_, seen)] = observations_by_video(gt)
    return seen


def random_gt(seed: int, frames: int = 18) -> dict:
    rng = np.random.default_rng(seed)
    tracks = []
    for _ in range(4):
        start, speed = rng.uniform(5, 45), rng.uniform(-3, 3)
        places = np.clip(start + speed * np.arange(frames) + rng.normal(0, 1, frames), 0, WIDTH - 8)
        masks = [square(x, rng.uniform(0, 10)) if rng.random() > 0.15 else None for x in places]
        tracks.append((int(rng.integers(1, 3)), masks))
    return make_gt(*tracks)


def literal_copy_links(seen: list[Observation], threshold: float, radius: int, length: int) -> list[int]:
    """Eq. 4 and 5 written out: every clip track is a volume, compared frame by frame with those before it."""
    volumes = []
    for item in seen:
        volume = {}
        for frame in range(max(0, item.frame - radius), min(length, item.frame + radius + 1)):
            volume[frame] = decode_mask(item.mask, HEIGHT, WIDTH).astype(float)
        volumes.append(volume)
    ids: list[int] = [-1] * len(seen)
    for frame in range(length):
        current = [i for i, item in enumerate(seen) if item.frame == frame]
        pairs = []
        for i in current:
            matches: dict[int, list[float]] = {}
            for j in range(len(seen)):
                shared = volumes[i].keys() & volumes[j].keys()
                if seen[j].frame >= frame or not shared or seen[j].category != seen[i].category:
                    continue
                values = []
                for t in shared:
                    a, b = volumes[i][t], volumes[j][t]
                    values.append((a * b).sum() / (a + b - a * b).sum())
                matches.setdefault(ids[j], []).append(float(np.mean(values)))
            pairs += [(np.mean(values), i, identity) for identity, values in matches.items()]
        for score, i, identity in sorted(pairs, key=lambda p: (-p[0], p[1], p[2])):
            if score > threshold and ids[i] < 0 and identity not in [ids[k] for k in current]:
                ids[i] = identity
        for i in current:
            if ids[i] < 0:
                ids[i] = max(ids) + 1
    return ids


@pytest.mark.parametrize('seed', range(4))
@pytest.mark.parametrize('radius', [1, 6])
def test_copying_equals_the_literal_equations(seed, radius):
    gt = random_gt(seed)
    seen = observations(gt)
    assert link_by_copying(seen, 0.1, radius) == literal_copy_links(seen, 0.1, radius, gt['videos'][0]['length'])


def test_slow_objects_keep_their_ids_under_both_linkers():
    gt = make_gt((1, [square(2 + t) for t in range(5)]), (1, [square(40 - t) for t in range(5)]))
    for linker in (link_by_box_iou, link_by_copying):
        assert linker(observations(gt)) == [0, 1] * 5
    assert oracle_ap(gt, 1) == {'box_iou': pytest.approx(100), 'copy': pytest.approx(100)}


def test_a_jump_beyond_the_threshold_starts_a_new_id():
    gt = make_gt((1, [square(2), square(3), square(30), square(31)]))
    assert link_by_box_iou(observations(gt)) == [0, 0, 1, 1]
    assert link_by_copying(observations(gt)) == [0, 0, 1, 1]
    assert oracle_ap(gt, 1)['box_iou'] < 60


def test_box_iou_forgets_what_was_absent_for_a_frame_and_copying_does_not():
    gt = make_gt((1, [square(2), None, square(2)]))
    assert link_by_box_iou(observations(gt)) == [0, 1]
    assert link_by_copying(observations(gt)) == [0, 0]


def test_linkers_do_not_join_categories_and_handle_an_empty_video():
    gt = make_gt((1, [square(2), None]), (2, [None, square(2)]))
    assert link_by_box_iou(observations(gt)) == [0, 1]
    assert link_by_copying(observations(gt)) == [0, 1]
    assert link_by_box_iou([]) == [] and link_by_copying([]) == []


def test_box_iou_is_greedy_and_one_to_one():
    """Both want the first object's place; the better overlap gets it, the other starts anew."""
    gt = make_gt((1, [square(10), square(11)]), (1, [None, square(12, 7)]))
    assert link_by_box_iou(observations(gt)) == [0, 0, 1]


def test_results_hold_every_mask_once():
    gt = random_gt(7)
    results = oracle_results(gt, link_by_box_iou)
    masks = sorted(m['counts'] for r in results for m in r['segmentations'] if m)
    assert masks == sorted(m['counts'] for a in gt['annotations'] for m in a['segmentations'] if m)
    assert all(len(r['segmentations']) == 18 and r['score'] == 1 for r in results)


def test_crossings_need_the_same_category_the_same_frame_and_an_overlap():
    still = [square(10)] * 3
    passing = [square(30), square(14), square(0)]
    apart = [square(30)] * 3
    gone = [square(30), None, square(30)]
    assert crossing_share(make_gt((1, still), (1, passing))) == 1
    assert crossing_share(make_gt((1, still), (2, passing))) == 0
    assert crossing_share(make_gt((1, still), (1, apart))) == 0
    assert crossing_share(make_gt((1, still), (1, gone))) == 0


def test_motion_figures_of_a_moving_square():
    gt = make_gt((1, [square(2 + 2 * t) for t in range(8)]))
    figures = motion_figures(gt, 1)
    assert figures['mean_step_pixels'] == pytest.approx(2)
    assert figures['mean_area_pixels'] == 64
    assert figures['shift_iou']['1-3'] == 1 and figures['shift_iou']['4-6'] == 1
    overlaps = [(8 - 2 * gap) / (8 + 2 * gap) for gap in (1, 2, 3)]
    # t = 0 and 3 see all three gaps, t = 6 only the first.
    assert figures['copy_iou']['1-3'] == pytest.approx(np.mean([*overlaps, *overlaps, overlaps[0]]))
    assert figures['copy_iou']['7-10'] == 0


def test_a_set_without_the_extra_fields_is_described_too():
    report = describe_set(random_gt(1), strides=(1,))
    assert report['occluded_frame_share'] is None and report['blurred_frame_share'] is None
    assert report['instances'] == 4 and report['frames'] == 18
