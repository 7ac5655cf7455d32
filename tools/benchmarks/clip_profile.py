"""Where the time of a frame goes, and what would make a CPU wait for a GPU in it; used by clip_inference.py."""

from __future__ import annotations

import cProfile
import pstats
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

# what the profile tells apart: each stage's function, by file and name
STAGES = {
    'backbone and FPN': ('two_stage.py', 'extract_feat'),
    'RPN': ('base_dense_head.py', 'predict'),
    'boxes': ('standard_roi_head.py', 'predict_bbox'),
    'RoI masks': ('frame_detector.py', 'predict_roi_masks'),
    'encoding of the branch': ('mask_propagation_head.py', 'encode_features'),
    'stride masks': ('masks.py', 'paste_soft_masks'),
    'final masks, pasted and encoded': ('masks.py', 'paste_binary_masks'),
    'of it RLE': ('masks.py', 'encode_mask'),
    'propagation': ('mask_propagation_head.py', 'propagate_many'),
    'of it offsets': ('mask_propagation_head.py', 'stream_offsets'),
    'of it lookups': ('propagation.py', 'propagate_values'),
    'linking': ('clip_linker.py', 'link_many'),
}
# what makes a CPU wait for a GPU's results
WAITS = ('item', 'tolist', 'cpu', 'numpy', 'nonzero', 'unique', '__bool__', '__int__', '__float__', '__index__')


def profile_stages(form: Callable[[], None], frames: int) -> dict[str, float]:
    """Milliseconds per frame in each of ``STAGES``, and in ``all``; by cProfile."""
    profile = cProfile.Profile()
    profile.enable()
    for _ in range(frames):
        form()
    profile.disable()
    stats = pstats.Stats(profile)
    found = dict.fromkeys(STAGES, 0.0)
    for (file, _, name), (_, _, _, cumulative, _) in stats.stats.items():
        for stage, (suffix, function) in STAGES.items():
            if name == function and Path(file).name == suffix:
                found[stage] += 1e3 * cumulative / frames
    return dict(all=1e3 * stats.total_tt / frames, **found)


class WaitCounter(TorchFunctionMode):
    """Counts the calls for which a CPU would wait for a GPU, by name."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        name = getattr(func, '__name__', '')
        by_mask = name == '__getitem__' and any(
            isinstance(i, Tensor) and i.dtype == torch.bool
            for i in (args[1] if isinstance(args[1], tuple) else args[1:])
        )
        if (name in WAITS or by_mask) and not (name != 'cpu' and called_by('paste_binary_masks')):
            self.calls['[mask]' if by_mask else name] += 1
        return func(*args, **(kwargs or {}))


def called_by(function: str) -> bool:
    """Whether a function of this name is running; ``paste_binary_masks`` copies to the CPU and works there."""
    frame = sys._getframe()
    while frame is not None and frame.f_code.co_name != function:
        frame = frame.f_back
    return frame is not None


def count_waits(form: Callable[[], None]) -> dict[str, int]:
    """Calls in one frame that would make a CPU wait for a GPU, of the project's and of mmdet's Python code."""
    with WaitCounter() as counter:
        form()
    return dict(counter.calls.most_common())
