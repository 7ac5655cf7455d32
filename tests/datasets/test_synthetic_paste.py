"""Clips pasted from real videos: exact masks, frames of the asked range only, the same bytes every time."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from maskprop.datasets.synthetic import motion
from maskprop.datasets.synthetic.cutouts import Cutout, Stage, render_pasted
from maskprop.datasets.synthetic.paste import PastedClips, PasteSettings
from maskprop.datasets.synthetic.procedural import ProceduralClips
from maskprop.datasets.synthetic.scene import SceneSettings
from maskprop.datasets.synthetic.source_videos import (
    SourceSet,
    find_annotation_file,
    load_source_set,
    play,
)
from maskprop.datasets.synthetic.writer import encode_track, write_set
from maskprop.datasets.ytvis_json import find_problems, load_ytvis

DAVIS = Path(__file__).parents[3] / 'shared' / 'davis16_vis'
SETTINGS = PasteSettings(height=48, width=80, frames=8)


@pytest.fixture(scope='module')
def source_dir(tmp_path_factory):
    """Four clips of one or two objects each, one JSON."""
    out = tmp_path_factory.mktemp('source')
    scenes = SceneSettings(height=72, width=96, frames=10, objects=(1, 2), crossing_share=0)
    write_set(out, ProceduralClips(scenes, 0, 16), {'train': 4, 'val': 0}, workers=1)
    return out


def clips_from(folder: Path, settings: PasteSettings = SETTINGS, seed: int = 0) -> PastedClips:
    return PastedClips(str(find_annotation_file(folder)), settings, seed, min_area=8)


def digest(folder: Path) -> str:
    total = hashlib.sha256()
    for path in sorted(p for p in folder.rglob('*') if p.is_file()):
        total.update(str(path.relative_to(folder)).encode() + path.read_bytes())
    return total.hexdigest()


@pytest.mark.slow
def test_set_is_valid_and_the_same_every_time(source_dir, tmp_path):
    for name, workers, seed in (('one', 1, 0), ('two', 2, 0), ('other', 1, 1)):
        write_set(tmp_path / name, clips_from(source_dir, seed=seed), {'train': 2, 'val': 2}, workers)
    assert digest(tmp_path / 'one') == digest(tmp_path / 'two') != digest(tmp_path / 'other')
    for split in ('train', 'val'):
        path = tmp_path / 'one' / 'annotations' / f'{split}.json'
        assert find_problems(path, image_root=tmp_path / 'one' / 'JPEGImages') == []
        made, original = load_ytvis(path), load_ytvis(find_annotation_file(source_dir))
        assert made['categories'] == original['categories']
        assert min(np.bincount([a['video_id'] for a in made['annotations']])[1:]) >= 2


def test_visible_regions_do_not_overlap(source_dir):
    for index in range(4):
        clip = clips_from(source_dir)('train', index)
        assert len(clip.frames) == 8 and clip.frames[0].shape == (48, 80, 3)
        for masks in zip(*clip.masks, strict=True):
            assert np.sum([mask for mask in masks if mask is not None], axis=0).max(initial=0) <= 1


def write_flat_source(root: Path, videos: tuple[str, ...] = ('stage', 'actor')) -> SourceSet:
    """Videos of even colour: a grey one without objects, a black one with a white block, its left half blue."""
    pictures = root / 'JPEGImages'
    pictures.mkdir(parents=True)
    mask = np.zeros((40, 60), bool)
    mask[10:30, 20:40] = True
    for name, base in (('stage', 128), ('actor', 0)):
        picture = np.full((40, 60, 3), base, np.uint8)
        if name == 'actor':
            picture[mask] = 255
            picture[10:30, 20:30] = (255, 0, 0)
        cv2.imwrite(str(pictures / f'{name}.png'), picture)
    track = {'id': 1, 'video_id': len(videos), 'category_id': 7, 'iscrowd': 0, **encode_track([mask])}
    video = {'height': 40, 'width': 60, 'length': 1}
    content = {
        'videos': [{'id': i, 'file_names': [f'{name}.png'], **video} for i, name in enumerate(videos, start=1)],
        'annotations': [track],
        'categories': [{'id': 7, 'name': 'block'}],
    }
    (root / 'annotations').mkdir()
    path = root / 'annotations' / 'all.json'
    path.write_text(json.dumps(content))
    return load_source_set(str(path))


def flat_clip(source: SourceSet, scale: float = 1.0, flip: bool = False):
    stage = Stage(source, [0], [], video=0, size=(60, 40), corner=(0, 0), height=40, width=60)
    path = motion.Path(origin=(15.0, 20.0))
    cutout = Cutout(source, source.tracks[0], [0], scale, np.array([30.0, 20.0]), flip, path, motion.Wave())
    return render_pasted(stage, [cutout], (0,), shutter=0.0, min_area=1)


@pytest.mark.parametrize('flip', [False, True])
def test_object_lands_where_its_path_says_and_the_mask_fits_its_pixels(tmp_path, flip):
    source = write_flat_source(tmp_path)
    clip = flat_clip(source, flip=flip)
    expected = np.zeros((40, 60), bool)
    expected[10:30, 5:25] = True
    mask = clip.masks[0][0]
    # The feathered edge may move the corners by a pixel, nothing else.
    assert np.count_nonzero(mask ^ expected) <= 4
    frame = clip.frames[0][..., 0]
    inner = cv2.erode(mask.astype(np.uint8), np.ones((5, 5)))
    outer = cv2.dilate(mask.astype(np.uint8), np.ones((5, 5)))
    assert (frame[inner == 1] == 255).all() and (frame[outer == 0] == 128).all()
    blue_side = slice(17, 22) if flip else slice(8, 13)
    assert (clip.frames[0][15:25, blue_side] == (255, 0, 0)).all()
    assert clip.category_ids == [7] and clip.visibility == [[1.0]]


def test_scale_shrinks_the_object(tmp_path):
    clip = flat_clip(write_flat_source(tmp_path), scale=0.5)
    rows, columns = np.nonzero(clip.masks[0][0])
    assert abs(np.ptp(rows) + 1 - 10) <= 1 and abs(np.ptp(columns) + 1 - 10) <= 1
    assert abs(rows.mean() + 0.5 - 20) <= 0.5 and abs(columns.mean() + 0.5 - 15) <= 0.5


def test_only_frames_of_the_range_are_used(source_dir, monkeypatch):
    used = set()
    original = SourceSet.picture

    def spy(self, video, frame):
        used.add(frame)
        return original(self, video, frame)

    monkeypatch.setattr(SourceSet, 'picture', spy)
    maker = clips_from(source_dir, replace(SETTINGS, ranges={'train': (0.0, 0.6), 'val': (0.7, 1.0)}))
    maker('train', 0), maker('train', 1)
    assert used <= set(range(0, 6)) and len(used) > 2
    used.clear()
    maker('val', 0), maker('val', 1)
    assert used <= set(range(7, 10)) and len(used) == 3


def test_play_takes_neighbouring_frames_and_turns_round():
    rng = np.random.default_rng(0)
    for count, frames in ((4, list(range(3, 12))), (20, [5, 6, 7]), (5, [9])):
        for _ in range(10):
            shown = play(rng, frames, count)
            assert len(shown) == count and set(shown) <= set(frames)
            assert all(abs(a - b) == (len(frames) > 1) for a, b in zip(shown, shown[1:], strict=False))


def test_source_problems_are_told(source_dir, tmp_path):
    with pytest.raises(FileNotFoundError, match='no .json there'):
        find_annotation_file(tmp_path)
    (tmp_path / 'annotations').mkdir()
    for name in ('a', 'b'):
        (tmp_path / 'annotations' / f'{name}.json').write_text('{}')
    with pytest.raises(ValueError, match='holds a.json, b.json'):
        find_annotation_file(tmp_path)
    assert find_annotation_file(tmp_path / 'annotations' / 'b.json').name == 'b.json'
    with pytest.raises(ValueError, match='val range'):
        PasteSettings(ranges={'val': (0.5, 0.5)})


def test_a_source_of_one_video_is_refused(tmp_path):
    write_flat_source(tmp_path, videos=('actor',))
    with pytest.raises(RuntimeError, match='two videos or more'):
        clips_from(tmp_path)('train', 0)


@pytest.mark.skipif(not DAVIS.is_dir(), reason='../shared/davis16_vis is not there')
def test_real_source():
    settings = PasteSettings(height=72, width=128, frames=6, ranges={'train': (0, 0.6), 'val': (0.7, 1)})
    clip = clips_from(DAVIS, settings)('val', 0)
    assert len(clip.category_ids) >= 2 and clip.frames[0].shape == (72, 128, 3)
    areas = [mask.sum() for masks in clip.masks for mask in masks if mask is not None]
    assert min(areas) >= 8
    assert not np.array_equal(clip.frames[0], clip.frames[-1])
