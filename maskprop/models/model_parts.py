"""From a model's config to its parts: heads, how masks are pasted, what is frozen, the stream of a video."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import partial
from typing import Any

from mmdet.registry import MODELS, TASK_UTILS
from torch import nn

from maskprop.engine.config import ConfigError
from maskprop.models.frame_detector import TwoStageFrameDetector
from maskprop.models.one_stage_detector import OneStageFrameDetector
from maskprop.models.view_frames import PasteMasks
from maskprop.ops.masks import paste_binary_masks
from maskprop.structures import FrameDetector, FrameFiller, Propagator, VideoHead
from maskprop.tracking.features import frames_at_once
from maskprop.tracking.video_stream import StreamOptions, VideoStream

SUFFIX = '_head'
MASK_PASTES = ('exact', 'legacy')
MOVED = {
    'mask_source': 'propagation_head.mask_source',
    'detach_masks': 'propagation_head.detach_masks',
    'backbone_batch': 'frames_at_once',
}


def as_frame_detector(detector: nn.Module) -> FrameDetector:
    """A detector as the model calls it: itself, or mmdet's in an adapter."""
    if isinstance(detector, FrameDetector):
        return detector
    return TwoStageFrameDetector(detector) if hasattr(detector, 'roi_head') else OneStageFrameDetector(detector)


def is_part_or_moved(key: str) -> bool:
    """Whether a key beside the stream's is a head's, or of earlier versions (its error says where it is now)."""
    return key.endswith(SUFFIX) or key in MOVED


def split_options(options: Mapping[str, Any]) -> tuple[dict[str, dict], StreamOptions]:
    """The heads and the stream's options among a model's further keys; a head of None is none.

    Raises:
        ConfigError: the key has another place now, or a head is no config.
        TypeError: there is no such key.
    """
    heads: dict[str, Any] = {}
    known = {field.name for field in fields(StreamOptions)}
    for key, value in options.items():
        if key in MOVED:
            raise ConfigError(f'model.{key} is now model.{MOVED[key]}: set it there')
        if key in known:
            continue
        if not key.endswith(SUFFIX):
            raise TypeError(f"VideoMaskRCNN.__init__() got an unexpected keyword argument '{key}'")
        if value is not None and not isinstance(value, Mapping):
            raise ConfigError(f'model.{key}={value!r}: expected the config of a head, a dict with a type')
        if value:
            heads[key] = value
    return heads, StreamOptions(**{key: value for key, value in options.items() if key in known})


def build_heads(configs: Mapping[str, dict]) -> dict[str, nn.Module]:
    """Build heads, in this order.

    Raises:
        ConfigError: what was built is no :class:`~maskprop.structures.protocols.VideoHead`.
    """
    heads = {}
    for name, cfg in configs.items():
        heads[name] = MODELS.build(cfg)
        if not isinstance(heads[name], VideoHead):
            hint = "; in place of mmdet's RoITrackHead use TrackHead" if cfg['type'] == 'RoITrackHead' else ''
            raise ConfigError(
                f'model.{name}.type={cfg["type"]!r}: a head of a video model has encode(view, instances) and '
                f'loss(pairs), see docs/adding_a_method.md{hint}'
            )
    return heads


def mask_paste(name: str, threshold: float) -> PasteMasks:
    """What pastes RoI masks into the image: ``'exact'``, or as mmdet 1.x did (``'legacy'``).

    Raises:
        ValueError: there is no other.
    """
    if name not in MASK_PASTES:
        raise ValueError(f'mask_paste={name!r} is unknown; choose one of {MASK_PASTES}')
    paste = paste_binary_masks if name == 'exact' else TASK_UTILS.get('paste_legacy_masks')
    return partial(paste, threshold=threshold)


def pair_heads(heads: Mapping[str, VideoHead]) -> list[str]:
    """Keys of the heads that train on pairs of frames."""
    return [name for name, head in heads.items() if getattr(head, 'joins_frames', True)]


def read_features(heads: Mapping[str, VideoHead], frozen: Sequence[str]) -> bool:
    """Whether a training looks at the detector's features: heads may have a backbone of their own."""
    trained = [head for name, head in heads.items() if name not in frozen]
    return 'detector' not in frozen or any(getattr(head, 'reads_features', True) for head in trained)


def check_frames(heads: Mapping[str, VideoHead], frames: int) -> None:
    """Raise ValueError unless every head that joins frames takes samples of so many."""
    for name in pair_heads(heads):
        taken = getattr(heads[name], 'trains_on', (2,))
        if frames not in taken:
            wanted = 'pairs of frames' if taken == (2,) else f'{" or ".join(map(str, taken))} frames'
            raise ValueError(f'{name} trains on {wanted}, but samples have {frames}')


def check_frozen(names: Sequence[str], heads: Mapping[str, VideoHead], has_aggregator: bool) -> None:
    """Raise ValueError unless ``names`` are parts of the model, and the aggregator is trained with a loss."""
    aggregator = ('aggregator',) if has_aggregator else ()
    parts = ['detector', *aggregator, *heads]
    if isinstance(names, str) or not set(names) <= set(parts):
        raise ValueError(f'frozen={names!r}: expected a list of parts that the model has, of {parts}')
    teachers = ['detector', *pair_heads(heads)]
    if has_aggregator and 'aggregator' not in names and set(teachers) <= set(names):
        raise ValueError(
            f'frozen={tuple(names)} leaves the aggregator without a loss: freeze it too, or train one of '
            f'{teachers}'
        )


def start_stream(
    model: Any, heads: Mapping[str, VideoHead], options: StreamOptions, propagator: Propagator | None
) -> VideoStream:
    """The stream of a new video.

    Args:
        model: a :class:`~maskprop.tracking.video_stream.FrameModel` with parameters. heads: its heads by key.
        propagator: for linkers that link clips.

    Raises:
        ValueError: a part needs a head that the model lacks, or the parts do not go together.
    """
    refined = _role_key('refine', options.refine, 'refinement_head', heads)
    classified = _role_key('classify', options.classify, 'classification_head', heads)
    linker = TASK_UTILS.build(options.linker)
    for part in (linker, propagator if linker.needs_clips else None):
        if missing := sorted(set(getattr(part, 'needs', ())) - {'image', *heads}):
            raise ValueError(f'{type(part).__name__} needs a {missing[0]}, and the model has none')
        if use_heads := getattr(part, 'use_heads', None):
            use_heads(heads)
    return VideoStream(
        model=model,
        linker=linker,
        propagator=propagator,
        clip_radius=options.clip_radius,
        fill=options.fill,
        output_mask=options.output_mask,
        refined=refined,
        classified=classified,
        history_filler=history_filler(heads, options.history_fill),
        frames_at_once=frames_at_once(options.frames_at_once, next(model.parameters()).device),
        score_rule=options.score_rule,
        min_frames=options.min_frames,
    )


def _role_key(option: str, wanted: bool | None, key: str, heads: Mapping[str, VideoHead]) -> str | None:
    """The key of the head that has a role, or None; by default where the model has that head."""
    if wanted and key not in heads:
        raise ValueError(f'{option}=True needs a {key}, and the model has none')
    return key if key in heads and wanted is not False else None


def history_filler(heads: Mapping[str, VideoHead], options: dict | None) -> FrameFiller | None:
    """What the attention head fills missed objects with; None without options."""
    if options is None:
        return None
    if 'attention_head' not in heads:
        raise ValueError('history_fill needs an attention_head, and the model has none')
    head: Any = heads['attention_head']
    return head.history_filler(**options)
