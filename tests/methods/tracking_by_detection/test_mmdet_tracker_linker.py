"""mmdet's trackers as linkers: against mmdet's own MOT models on the same detections, and hand-made videos."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from mmengine.structures import InstanceData

import maskprop

maskprop.register_all()

from mmdet.models.mot import ByteTrack, DeepSORT  # noqa: E402
from mmdet.registry import MODELS  # noqa: E402
from mmdet.structures import DetDataSample, TrackDataSample  # noqa: E402

from maskprop.methods.tracking_by_detection import MMDetTrackerLinker  # noqa: E402
from maskprop.structures import Frame, PerInstance  # noqa: E402
from tests.models.builders import TRACK, build_model  # noqa: E402
from tests.tracking.test_video_stream import frames_of, run  # noqa: E402

HEIGHT, WIDTH, SCALE = 40, 60, 2.0  # of the video; the network's input is SCALE times as large
SHOWN, PADDED = (80, 120), (96, 128)
MEAN, STD = [100.0, 110.0, 120.0], [50.0, 60.0, 70.0]
KALMAN = dict(type='KalmanFilter')
SORT = dict(type='SORTTracker', obj_score_thr=0.3, match_iou_thr=0.3, num_tentatives=2)
BYTE = dict(
    type='ByteTracker',
    obj_score_thrs=dict(high=0.5, low=0.1),
    init_track_thr=0.4,
    match_iou_thrs=dict(high=0.1, low=0.3, tentative=0.2),
    num_frames_retain=5,
)
REID = dict(
    type='ReIDNet',
    data_preprocessor=dict(type='CropPreprocessor', mean=MEAN, std=STD, bgr_to_rgb=True),
    backbone=dict(type='ResNet', depth=18, base_channels=4, out_indices=(3,)),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='ReIDHead', in_channels=32, fc_channels=16, out_channels=8),
)


def need_lap(tracker: dict) -> None:
    if tracker['type'] == 'ByteTracker':
        pytest.importorskip('lap', reason="mmdet's ByteTracker needs the package lap: pip install lap")


def frame_of(*detections: tuple[list[float], int, float], embeds=None, image=None) -> Frame:
    """Of (box, label, score) per detection."""
    boxes, labels, scores = zip(*detections, strict=True) if detections else ((), (), ())
    return Frame(
        masks=torch.zeros(len(boxes), 1, 1),
        boxes=torch.tensor(boxes, dtype=torch.float32).view(-1, 4),
        class_scores=[{label: score} for label, score in zip(labels, scores, strict=True)],
        rles=[{}] * len(boxes),
        size=(HEIGHT, WIDTH),
        map_size=(PADDED[0] / SCALE, PADDED[1] / SCALE),
        codes={} if embeds is None else dict(track_head=PerInstance(torch.tensor(embeds).float().view(-1, 2))),
        image=image,
    )


def random_video(seed: int, length: int = 25) -> list[Frame]:
    """Five objects that jump about, are missed and change their label, clutter, an empty frame now and then."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator)

    centres, sides = draw(5, 2) * torch.tensor([WIDTH, HEIGHT]), 8 + 10 * draw(5, 2)
    frames = []
    for t in range(length):
        centres = centres + 3 * (draw(5, 2) - 0.5)
        boxes = torch.cat([centres - sides / 2, centres + sides / 2], 1)
        found = [
            (box.tolist(), k % 2 if draw(1) > 0.05 else 2, float(draw(1)))
            for k, box in enumerate(boxes)
            if draw(1) > 0.15
        ]
        corner = draw(1, 2) * 30
        found.append((torch.cat([corner, corner + 8], 1)[0].tolist(), 0, float(draw(1))))
        found = [found[row] for row in torch.randperm(len(found), generator=generator).tolist()]
        image = (255 * draw(3, *PADDED)).to(torch.uint8)
        frames.append(frame_of(*([] if t % 9 == 8 else found), image=image))
    return frames


def link(frames: list[Frame], tracker: dict, **keys) -> list[list[int | None]]:
    linker = MMDetTrackerLinker(tracker, **keys)
    return [linker.link(frame) for frame in frames]


def mmdet_ids(model: torch.nn.Module, frames: list[Frame]) -> list[list[int | None]]:
    """The ids of mmdet's model with a detector that gives the frames' detections; scores tell the rows."""
    model.detector = GivenDetections(frames)
    images = torch.stack([frame.image.float() for frame in frames])
    images = (images - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    sample = TrackDataSample()
    sample.video_data_samples = [DetDataSample(metainfo=meta_of(t)) for t in range(len(frames))]
    with torch.no_grad():
        (tracked,) = model.predict(images[None], [sample])
    ids = []
    for frame, result in zip(frames, tracked, strict=True):
        found = result.pred_track_instances
        by_score = dict(zip(found.scores.tolist(), (found.instances_id + 1).tolist(), strict=True))
        assert len(by_score) == len(found)
        ids.append([by_score.get(score) for score in scores_of(frame).tolist()])
    return ids


def meta_of(frame_id: int) -> dict:
    return dict(frame_id=frame_id, img_shape=SHOWN, ori_shape=(HEIGHT, WIDTH), scale_factor=(SCALE, SCALE))


def scores_of(frame: Frame) -> torch.Tensor:
    return torch.tensor([max(scores.values()) for scores in frame.class_scores])


class GivenDetections:
    def __init__(self, frames: list[Frame]) -> None:
        self.frames = frames

    def predict(self, image: torch.Tensor, samples: list[DetDataSample]) -> list[DetDataSample]:
        frame = self.frames[samples[0].frame_id]
        labels = torch.tensor(frame.labels, dtype=torch.long)
        samples[0].pred_instances = InstanceData(bboxes=frame.boxes, labels=labels, scores=scores_of(frame))
        return samples


@pytest.fixture
def reid(tmp_path):
    """A net of random weights in a checkpoint, as a config."""
    torch.manual_seed(0)
    net = MODELS.build(REID)
    for parameter in net.head.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    torch.save(dict(state_dict=net.state_dict()), tmp_path / 'reid.pth')
    return dict(REID, init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'reid.pth')))


@pytest.mark.parametrize('seed', range(4))
@pytest.mark.parametrize('tracker', [SORT, BYTE], ids=['sort', 'bytetrack'])
def test_ids_are_those_of_mmdets_models(tracker, seed):
    need_lap(tracker)
    frames = random_video(seed)
    if tracker is SORT:
        model = DeepSORT(tracker=dict(SORT, motion=KALMAN, reid=None))
    else:
        model = ByteTrack(tracker=dict(BYTE, motion=KALMAN))
    found = link(frames, tracker)
    assert found == mmdet_ids(model, frames)
    flat = [track_id for ids in found for track_id in ids]
    assert None in flat, 'no detection was passed over'
    assert len(flat) > 2 * len(set(flat)), 'nothing was tracked'


@pytest.mark.parametrize('seed', range(4))
def test_deep_sort_is_mmdets_with_the_same_net(reid, seed):
    frames = random_video(seed)
    tracker = dict(SORT, reid=dict(img_scale=(32, 16), match_score_thr=3.0))
    model = DeepSORT(tracker=dict(SORT, motion=KALMAN, reid=dict(tracker['reid'], num_samples=10)))
    model.reid = MODELS.build(REID).eval()
    model.reid.load_state_dict(torch.load(reid['init_cfg']['checkpoint'])['state_dict'])
    linker = MMDetTrackerLinker(tracker, reid=reid)
    found = [linker.link(frame) for frame in frames]
    assert found == mmdet_ids(model, frames)
    # ids alone hardly notice another crop
    assert torch.equal(linker.tracker.memo['embeds'], model.tracker.memo['embeds'])
    assert found != link(frames, SORT), 'the appearance made no difference'


@pytest.mark.parametrize('tracker', [SORT, BYTE], ids=['sort', 'bytetrack'])
def test_shuffled_detections_get_the_same_ids(tracker):
    """Up to the names of new ids, which are counted in the order of detections."""
    need_lap(tracker)
    frames, orders = random_video(0), []
    for t, frame in enumerate(frames):
        orders.append(torch.randperm(len(frame), generator=torch.Generator().manual_seed(t)).tolist())
    shuffled = [frame.select(order) for frame, order in zip(frames, orders, strict=True)]
    names: dict[int | None, int | None] = {}
    for ids, others, order in zip(link(frames, tracker), link(shuffled, tracker), orders, strict=True):
        for place, row in enumerate(order):
            assert names.setdefault(ids[row], others[place]) == others[place]
    assert len(set(names.values())) == len(names) > 5


def test_byte_track_gives_ids_to_rows_although_it_reorders_them():
    """A sure detection comes first in its result; the unsure one, first here, is matched in the second round."""
    need_lap(BYTE)
    left, right = [0.0, 0, 10, 10], [30.0, 0, 40, 10]
    first = frame_of((left, 0, 0.9), (right, 0, 0.8))
    second = frame_of((left, 0, 0.2), (right, 0, 0.9))
    assert link([first, second], BYTE) == [[1, 2], [1, 2]]
    assert link([first, second.select([1, 0])], BYTE) == [[1, 2], [2, 1]]


@pytest.mark.parametrize('tracker', [SORT, BYTE], ids=['sort', 'bytetrack'])
def test_ids_stay_within_a_category_by_key(tracker):
    need_lap(tracker)
    frames = [frame_of(([0, 0, 20, 20], label, 0.9)) for label in (0, 0, 1, 1)]
    assert link(frames, tracker) == [[1], [1], [2], [2]]
    assert link(frames, tracker, same_category=False) == [[1]] * 4


@pytest.mark.parametrize('tracker', [SORT, BYTE], ids=['sort', 'bytetrack'])
def test_low_scores_get_no_id_and_frames_may_be_empty(tracker):
    need_lap(tracker)
    box = [0, 0, 20, 20]
    frames = [frame_of(), frame_of((box, 0, 0.05)), frame_of((box, 0, 0.9)), frame_of(), frame_of((box, 0, 0.9))]
    # ByteTracker drops a track that begins after the first frame and is missed at once, as SORTTracker does
    assert link(frames, tracker) == [[], [None], [1], [], [2]]
    # once confirmed, SORTTracker without appearance forgets, ByteTracker doesn't
    frames = [frame_of((box, 0, 0.9))] * 3 + [frame_of(), frame_of((box, 0, 0.9))]
    assert link(frames, tracker) == [[1], [1], [1], [], [2 if tracker is SORT else 1]]


def test_deep_sort_finds_objects_again_by_their_embeddings():
    cat, dog = [3.0, 0.0], [0.0, 5.0]
    left, right = [0, 0, 20, 20], [4, 0, 24, 20]
    both = frame_of((left, 0, 0.9), (right, 0, 0.8), embeds=[cat, dog])
    swapped = frame_of((left, 0, 0.9), (right, 0, 0.8), embeds=[dog, cat])
    again = frame_of((left, 0, 0.9), embeds=[[9.0, 0.1]])
    frames = [both, both, both, swapped, frame_of(embeds=[]), again]
    keys = dict(reid='embeds')
    tracker = dict(SORT, reid=dict(match_score_thr=0.5))
    assert link(frames, tracker, **keys) == [[1, 2], [1, 2], [1, 2], [2, 1], [], [1]]
    assert link(frames, SORT) == [[1, 2], [1, 2], [1, 2], [1, 2], [], [3]]


@pytest.mark.parametrize('tracker', [SORT, BYTE], ids=['sort', 'bytetrack'])
def test_linkers_of_two_videos_share_nothing(tracker):
    need_lap(tracker)
    videos = random_video(0), random_video(1)
    alone = [link(video, tracker) for video in videos]
    linkers = [MMDetTrackerLinker(tracker) for _ in videos]
    together = [
        [linker.link(f) for linker, f in zip(linkers, pair, strict=True)] for pair in zip(*videos, strict=True)
    ]
    assert [list(ids) for ids in zip(*together, strict=True)] == alone
    assert link(videos[0], tracker) == alone[0]


def test_frames_are_not_changed(reid):
    frames = random_video(0, length=6)
    before = [(frame.boxes.clone(), frame.image.clone()) for frame in frames]
    link(frames, dict(SORT, reid=dict(img_scale=(32, 16))), reid=reid)
    for frame, (boxes, image) in zip(frames, before, strict=True):
        assert torch.equal(frame.boxes, boxes) and torch.equal(frame.image, image)


# -- in a stream


@pytest.mark.parametrize('tracker', [SORT, BYTE], ids=['sort', 'bytetrack'])
def test_stream_leaves_out_what_has_no_id(tracker):
    need_lap(tracker)
    model = build_model(merge_iou=None).eval()
    frames = frames_of(model, [3, 0, 4, 2])
    results, _ = run(model, frames, linker=dict(type='MMDetTrackerLinker', tracker=tracker), fill=False)
    linker = MMDetTrackerLinker(tracker)
    for frame, result in zip(frames, results, strict=True):
        ids = linker.link(frame)
        kept = [row for row, track_id in enumerate(ids) if track_id is not None]
        assert result.ids == [ids[row] for row in kept]
        assert result.masks == [frame.rles[row] for row in kept]


def test_deep_sort_in_a_stream_gets_its_images(reid):
    linker = dict(type='MMDetTrackerLinker', tracker=dict(SORT, reid=dict(img_scale=(32, 16))), reid=reid)
    model = build_model(linker=linker).eval()
    model.detector.roi_head.test_cfg.score_thr = 0.0
    stream = model.start_video()
    image = torch.zeros(1, 3, 64, 96)
    meta = dict(img_shape=(64, 96), ori_shape=(64, 96), scale_factor=(1.0, 1.0))
    results = [*stream.step(image, meta), *stream.step(image, meta), *stream.finish()]
    assert [r.frame_index for r in results] == [0, 1]
    embeds = dict(type='MMDetTrackerLinker', tracker=SORT, reid='embeds')
    assert run(build_model(track_head=TRACK).eval(), [], linker=embeds) == ([], [])
    with pytest.raises(ValueError, match='track_head'):
        model.start_video(linker=embeds)


# -- bad keys


@pytest.mark.parametrize(
    'keys, message',
    [
        (dict(tracker=dict(type='QuasiDenseTracker')), 'QuasiDenseTracker'),
        (dict(tracker=SORT, reid='embedding'), "expected 'embeds'"),
        (dict(tracker=BYTE, reid='embeds'), 'does not look at the appearance'),
        (dict(tracker=dict(SORT, reid=dict(num_samples=3))), 'set both or none'),
        (dict(tracker=SORT, reid=REID), 'has no weights'),
        (dict(tracker=SORT, reid=dict(init_cfg=dict(checkpoint='a.pth'))), 'mean and std'),
        (dict(tracker=dict(SORT, reid=dict(img_norm_cfg=dict(mean=0))), reid='embeds'), 'data_preprocessor'),
    ],
)
def test_bad_keys_say_what_to_do(keys, message):
    with pytest.raises(ValueError, match=message):
        MMDetTrackerLinker(**keys)


def test_missing_lap_says_what_to_install(monkeypatch):
    monkeypatch.setattr('mmdet.models.trackers.byte_tracker.lap', None)
    with pytest.raises(ModuleNotFoundError, match='pip install lap'):
        MMDetTrackerLinker(BYTE)


def test_frame_without_an_image_says_what_to_do(reid):
    frame = replace(random_video(0, length=1)[0], image=None)
    with pytest.raises(ValueError, match='needs the image'):
        link([frame], dict(SORT, reid=dict(img_scale=(32, 16))), reid=reid)


@pytest.mark.parametrize(
    'tracker, reid', [(SORT, None), (SORT, 'embeds'), (BYTE, None)], ids=['sort', 'embeds', 'byte']
)
def test_memory_does_not_grow_with_the_video(tracker, reid):
    """mmdet keeps every frame of a living track."""
    need_lap(tracker)
    linker = MMDetTrackerLinker(tracker, reid=reid)
    for _ in range(40):
        assert linker.link(frame_of(([5, 5, 30, 30], 0, 0.9), embeds=[[1.0, 0.0]])) == [1]
    (track,) = linker.tracker.tracks.values()
    kept = {name: len(memory) for name, memory in track.items() if isinstance(memory, list)}
    assert kept and max(kept.values()) <= 10
