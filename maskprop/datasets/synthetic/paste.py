"""Clips pasted from real videos: objects cut out along their masks move over other videos.

The background video plays as it is and keeps its own annotated objects; one to three objects of other videos are
laid over it, their own frames playing, on an extra path with scale change and motion blur. Who is in front is
random, the background's own objects included. Masks are what is visible.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace

import numpy as np

from maskprop.datasets.synthetic import motion
from maskprop.datasets.synthetic.cutouts import Cutout, Stage, render_pasted
from maskprop.datasets.synthetic.procedural import SPLIT_NUMBERS
from maskprop.datasets.synthetic.rendering import Clip
from maskprop.datasets.synthetic.source_videos import SourceSet, SourceTrack, load_source_set, play
from maskprop.datasets.ytvis_json import frame_indices

ATTEMPTS = 50


@dataclass(frozen=True)
class PasteSettings:
    """The keys of a pasted set; `object_size` (square root of the area) and `speed` (per frame) are relative to
    the picture's height.

    Raises:
        ValueError: a key outside its range.
    """

    height: int = 96
    width: int = 160
    frames: int = 36
    pasted: tuple[int, int] = (1, 3)
    object_size: tuple[float, float] = (0.2, 0.42)
    speed: float = 0.02
    transit_share: float = 0.25
    crossing_share: float = 0.4
    blur_share: float = 0.7
    ranges: dict[str, tuple[float, float]] = field(
        default_factory=lambda: {'train': (0.0, 1.0), 'val': (0.0, 1.0)}
    )

    def __post_init__(self) -> None:
        if min(self.height, self.width) < 32:
            raise ValueError(f'size {self.height}x{self.width}: both sides must be at least 32 pixels')
        if self.frames < 1 or not 1 <= self.pasted[0] <= self.pasted[1]:
            raise ValueError(
                f'expected frames >= 1 and 1 <= fewest <= most pasted, found {self.frames}, {self.pasted}'
            )
        for split, (first, last) in self.ranges.items():
            if not 0 <= first < last <= 1:
                raise ValueError(f'{split} range: expected 0 <= first < last <= 1, found {first} {last}')


@dataclass(frozen=True)
class PastedClips:
    """Makes clip `index` of a split from real videos; equal arguments give equal clips, in any process.

    Args:
        annotation_file: JSON of the source set, beside which JPEGImages lies one folder up.
        settings: what the clips look like.
        seed: of the whole set.
        min_area: pixels below which an object counts as absent.
    """

    annotation_file: str
    settings: PasteSettings
    seed: int
    min_area: int

    @property
    def categories(self) -> list[dict]:
        return list(load_source_set(self.annotation_file).categories)

    def describe(self) -> dict:
        source = load_source_set(self.annotation_file)
        origin = {'videos': len(source.videos), 'tracks': len(source.tracks)}
        return {
            'kind': 'pasted',
            'source': origin,
            'seed': self.seed,
            'min_area': self.min_area,
            **asdict(self.settings),
        }

    def __call__(self, split: str, index: int) -> Clip:
        source = load_source_set(self.annotation_file)
        for attempt in range(ATTEMPTS):
            rng = np.random.default_rng([self.seed, SPLIT_NUMBERS[split], index, attempt])
            clip = _make_clip(rng, source, self.settings, self.settings.ranges[split], self.min_area)
            if len(clip.category_ids) >= 2:
                return clip
        raise RuntimeError(
            f'{split} clip {index}: no clip with two visible objects in {ATTEMPTS} attempts; the source set '
            f'needs two videos or more with annotated objects, within the range {self.settings.ranges[split]}'
        )


def _make_clip(
    rng: np.random.Generator,
    source: SourceSet,
    settings: PasteSettings,
    span: tuple[float, float],
    min_area: int,
) -> Clip:
    available = [list(frame_indices(len(video), frame_range=span)) for video in source.videos]
    stage = make_stage(source, int(rng.integers(len(source.videos))), settings, rng, available)
    cutouts = _choose_cutouts(rng, source, settings, available, stage)
    order = tuple(int(i) for i in rng.permutation(len(stage.tracks) + len(cutouts)))
    shutter = float(rng.uniform(0.4, 0.9)) if rng.random() < settings.blur_share else 0.0
    return render_pasted(stage, cutouts, order, shutter, min_area)


def make_stage(
    source: SourceSet,
    video: int,
    settings: PasteSettings,
    rng: np.random.Generator,
    available: list[list[int]],
) -> Stage:
    """A video as background, scaled to cover the picture and cut to it around its middle."""
    frames = play(rng, available[video], settings.frames)
    tracks = [track for track in source.tracks if track.video == video and track.is_seen_in(frames)]
    height, width = source.sizes[video]
    scale = max(settings.height / height, settings.width / width)
    size = (round(width * scale), round(height * scale))
    corner = ((size[0] - settings.width) // 2, (size[1] - settings.height) // 2)
    return Stage(source, frames, tracks, video, size, corner, settings.height, settings.width)


def _choose_cutouts(
    rng: np.random.Generator,
    source: SourceSet,
    settings: PasteSettings,
    available: list[list[int]],
    stage: Stage,
) -> list[Cutout]:
    """Objects of other videos. With probability `crossing_share` two objects share a category and meet: the
    first with the background's own object where another video has its category, else with the second."""
    candidates = [t for t in source.tracks if t.video != stage.video and t.is_seen_in(available[t.video])]
    if not candidates:
        return []
    count = int(rng.integers(settings.pasted[0], settings.pasted[1] + 1))
    chosen = [_pick(rng, candidates) for _ in range(count)]
    if rng.random() >= settings.crossing_share:
        return [_cut(rng, source, settings, track, available[track.video]) for track in chosen]
    alike = [t for t in candidates if stage.tracks and t.category_id == stage.tracks[0].category_id]
    if alike:
        chosen[0] = _pick(rng, alike)
    else:
        chosen = [
            chosen[0],
            _pick(rng, [t for t in candidates if t.category_id == chosen[0].category_id]),
            *chosen[2:],
        ]
    cutouts = [_cut(rng, source, settings, track, available[track.video]) for track in chosen]
    moment = int(rng.uniform(0.25, 0.75) * (settings.frames - 1))
    meeting = stage.middle_of(0, moment) if alike else None
    if meeting is None:
        meeting = np.array([rng.uniform(0.3, 0.7) * settings.width, rng.uniform(0.3, 0.7) * settings.height])
    meeting = meeting + rng.uniform(-0.1, 0.1, 2) * settings.height
    for position in range(1 if alike else 2):
        cutout = cutouts[position]
        cutouts[position] = replace(cutout, path=cutout.path.moved_to(meeting, moment))
    return cutouts


def _pick(rng: np.random.Generator, tracks: list[SourceTrack]) -> SourceTrack:
    return tracks[int(rng.integers(len(tracks)))]


def _cut(
    rng: np.random.Generator,
    source: SourceSet,
    settings: PasteSettings,
    track: SourceTrack,
    available: list[int],
) -> Cutout:
    """Cut an object out: its frames, a size, and a path of its own."""
    frames = play(rng, available, settings.frames)
    if not track.is_seen_in(frames):
        frames = play(rng, [f for f in available if track.segmentations[f] is not None], settings.frames)
    masks = [mask for mask in (source.mask(track, frame) for frame in sorted(set(frames))) if mask is not None]
    area = float(np.mean([mask.sum() for mask in masks]))
    scale = rng.uniform(*settings.object_size) * settings.height / np.sqrt(max(area, 1.0))
    speed = settings.speed * settings.height * rng.uniform(0.4, 1.6)
    if rng.random() < settings.transit_share:
        path = motion.transit_path(rng, settings.height, settings.width, speed, settings.frames)
    else:
        path = motion.roaming_path(rng, settings.height, settings.width, speed, [])
    return Cutout(
        source=source,
        track=track,
        frames=frames,
        scale=float(min(scale, 1.0)),
        anchor=np.mean([np.argwhere(mask)[:, ::-1].mean(axis=0) + 0.5 for mask in masks], axis=0),
        flip=bool(rng.random() < 0.5),
        path=path,
        log_scale=motion.random_wave(rng, rng.uniform(0.02, 0.18), (24, 60)),
    )
