"""What the end of a video tells: objects by class, and which threshold decided that there are none."""

from __future__ import annotations

import numpy as np
import pytest
from mmengine.config import ConfigDict

from maskprop.apis import infer_video_to_folder
from maskprop.apis.thresholds import highest_score, score_thresholds
from maskprop.apis.video_report import Tally, VideoReport
from maskprop.structures import FrameResult
from tests.apis.fake_video_model import ColourModel, ColourStream, make_video


@pytest.fixture(scope='module', autouse=True)
def _scope():
    from mmdet.utils import register_all_modules

    register_all_modules(init_default_scope=True)


class ThresholdModel(ColourModel):
    """Finds what reaches ``test_cfg.rcnn.score_thr``, as detectors do; all its scores are about .02."""

    def __init__(self, score_thr: float, min_frames: int = 1) -> None:
        super().__init__(delay=0)
        self.test_cfg = ConfigDict(rcnn=dict(score_thr=score_thr, nms=dict(iou_threshold=0.5)))
        self.min_frames = min_frames
        detector = dict(test_cfg=self.test_cfg, train_cfg=dict(score_thr=0.7))
        self.cfg.model = dict(detector=detector, min_frames=min_frames)

    def start_video(self) -> ColourStream:
        return ThresholdStream(self)


class ThresholdStream(ColourStream):
    def __init__(self, model: ThresholdModel) -> None:
        super().__init__(0)
        self.instances.min_frames = model.min_frames
        self.least = model.test_cfg.rcnn.score_thr

    def _finalize(self) -> FrameResult:
        found = self.pending.pop(0)
        result = FrameResult(found.frame_index)
        for detection in zip(found.ids, found.labels, found.scores, found.masks, strict=True):
            if detection[2] >= self.least:
                result.add(*detection)
        self.instances.add_frame(result)
        return result


def _run(model, tmp_path, **options) -> VideoReport:
    return infer_video_to_folder(model, make_video(9), tmp_path, progress=False, write_video=False, **options)


def test_the_threshold_of_the_config_is_named_with_the_highest_score(tmp_path):
    model = ThresholdModel(0.4)
    report = _run(model, tmp_path)
    frame = make_video(9)[7]  # of frames 0, 1, 3 and 7 the last
    highest = highest_score(model, frame)
    assert 0.01 < highest < 0.1
    (note,) = report.notes
    assert note.startswith('nothing was found: no detection reached model.detector.test_cfg.rcnn.score_thr=0.4; ')
    assert f'the highest score in frame 7 is {highest:.2g}' in note
    suggested = float(note.rpartition('--cfg-options model.detector.test_cfg.rcnn.score_thr=')[2])
    assert 0 < suggested < highest
    assert model.test_cfg.rcnn.score_thr == 0.4  # as it was
    assert (report.objects, report.best_score, report.num_results) == ({}, None, 0)
    assert 'no objects' in str(report) and note in str(report)
    # the advice helps
    assert _run(ThresholdModel(suggested), tmp_path).num_results > 0


def test_the_threshold_of_the_drawing_is_named(tmp_path):
    report = _run(ThresholdModel(0.001), tmp_path)
    (note,) = report.notes
    assert note == (
        f'nothing is drawn: the highest score in any frame is {report.best_score:.2g}, below --score-thr 0.3; '
        'results.json has 2 results'
    )


def test_the_least_number_of_frames_is_named(tmp_path):
    (note,) = _run(ThresholdModel(0.001, min_frames=10), tmp_path, score_thr=0).notes
    assert 'no object was in model.min_frames=10 frames or more' in note


def test_a_model_without_thresholds_or_that_fails(tmp_path, monkeypatch):
    model = ThresholdModel(0.4)
    monkeypatch.setattr('maskprop.apis.thresholds.VideoSession', None)  # looking for the score must cost nothing
    (note,) = _run(model, tmp_path).notes
    assert 'the thresholds of the config are model.detector.test_cfg.rcnn.score_thr=0.4' in note
    assert model.test_cfg.rcnn.score_thr == 0.4
    model.cfg.model = {}
    assert 'names no score_thr' in _run(model, tmp_path).notes[0]


def test_score_thresholds_of_a_config():
    model = dict(
        detector=dict(
            roi_head=dict(test_cfg=dict(score_thr=0.05)),  # as mmdet's building leaves it
            test_cfg=dict(rcnn=dict(score_thr=0.05, nms=dict(iou_threshold=0.5)), rpn=dict(nms_pre=1)),
        ),
        train_cfg=dict(score_thr=0.1),
        linker=dict(tracker=dict(obj_score_thr=0.6, match_iou_thr=0.5)),
    )
    assert score_thresholds(model) == {
        'model.detector.test_cfg.rcnn.score_thr': 0.05,
        'model.linker.tracker.obj_score_thr': 0.6,
    }


def test_objects_are_counted_once_by_their_most_frequent_class():
    tally = Tally(0.5)
    for t, (names, scores) in enumerate(
        [(['cat', 'dog'], [0.9, 0.2]), (['cat', 'dog'], [0.6, 0.5]), (['dog', 'dog'], [0.99, 0.1]), ([], [])]
    ):
        result = FrameResult(t, ids=[3, 5][: len(names)], scores=scores, class_names=names)
        tally.add(np.zeros((4, 4, 3), np.uint8), result)
    assert (tally.objects(), tally.best_score, tally.num_frames) == ({'cat': 1, 'dog': 1}, 0.99, 4)
    assert Tally(0.5).objects() == {}


def test_the_report_in_words(tmp_path):
    report = VideoReport('clip', 0.3, 75, 12.5, {'person': 2, 'dog': 1}, 0.9, 3, [tmp_path / 'a'], ['A note'])
    head = 'clip: 75 frames in 12.5 s (6 frames/s); 2 person, 1 dog (score 0.3 or more)'
    assert str(report).splitlines() == [head, '  A note', f'  {tmp_path / "a"}']
