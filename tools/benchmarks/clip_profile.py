"""Where a frame's time goes, which operators it calls and what would make a CPU wait for a GPU in it.

Used by clip_inference.py.
"""

from __future__ import annotations

import cProfile
import pstats
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from operator_count import OperatorCount
from torch import Tensor
from torch.overrides import TorchFunctionMode

# what the profile tells apart: each stage's functions, by file and name; one frame and several take different ones
STAGES = {
    'backbone and FPN': [('two_stage.py', 'extract_feat')],
    'RPN': [('base_dense_head.py', 'predict'), ('batched_boxes.py', '_propose')],
    'boxes': [('standard_roi_head.py', 'predict_bbox'), ('batched_boxes.py', '_classify')],
    'RoI masks': [('frame_detector.py', 'predict_roi_masks')],
    'encoding of the branch': [('mask_propagation_head.py', 'encode_features')],
    'stride masks': [('masks.py', 'paste_soft_masks')],
    'final masks, pasted and encoded': [('masks.py', 'paste_binary_masks')],
    'of it RLE': [('masks.py', 'encode_crops')],
    'propagation': [('mask_propagation_head.py', 'propagate_many')],
    'of it offsets': [('mask_propagation_head.py', 'stream_offsets')],
    'of it lookups': [('propagation.py', 'propagate_values')],
    'linking': [('clip_linker.py', 'link_many')],
}
STAGE_OF = {function: stage for stage, functions in STAGES.items() for function in functions}
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
        if stage := STAGE_OF.get((Path(file).name, name)):
            found[stage] += 1e3 * cumulative / frames
    return dict(all=1e3 * stats.total_tt / frames, **found)


class StageOperators(OperatorCount):
    """Counts operators by stage: the innermost of ``STAGES`` that is running, or ``'other'``."""

    def _now(self) -> tuple[str, ...]:
        frame = sys._getframe()
        while frame is not None:
            if stage := STAGE_OF.get((Path(frame.f_code.co_filename).name, frame.f_code.co_name)):
                return (stage,)
            frame = frame.f_back
        return ('other',)


def operators_by_stage(form: Callable[[], None]) -> dict[str, int]:
    """Calls of operators in each of ``STAGES``, a stage's parts included, in ``'other'`` and in ``'all'``."""
    with StageOperators() as count:
        form()
    own = {stage: count.by_part.get((stage,), Counter()).total() for stage in (*STAGES, 'other')}
    found = dict(own, all=sum(own.values()))
    whole = ''
    for stage, count in own.items():
        if stage.startswith('of it '):
            found[whole] += count
        else:
            whole = stage
    return found


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
        if (name in WAITS or by_mask) and not on_a_cpu_anyway(name):
            self.calls['[mask]' if by_mask else name] += 1
        return func(*args, **(kwargs or {}))


def on_a_cpu_anyway(call: str) -> bool:
    """Whether the call is of a function that works on the CPU: masks' lookups, and pasting once it has copied."""
    names, frame = set(), sys._getframe()
    while frame is not None:
        names.add(frame.f_code.co_name)
        frame = frame.f_back
    return 'look_up_masks' in names or (call != 'cpu' and 'paste_binary_masks' in names)


def count_waits(form: Callable[[], None]) -> dict[str, int]:
    """Calls in one frame that would make a CPU wait for a GPU, of the project's and of mmdet's Python code."""
    with WaitCounter() as counter:
        form()
    return dict(counter.calls.most_common())
