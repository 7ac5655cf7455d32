"""Where a frame's time goes, which operators it calls and what would make a CPU wait for a GPU in it.

Used by clip_inference.py.
"""

from __future__ import annotations

import cProfile
import pstats
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from operator_count import OperatorCount
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

from maskprop.methods.maskprop import dilated_convs, mask_propagation_head, propagation
from maskprop.models import batched_boxes
from maskprop.ops import later_masks

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
# what makes a CPU wait for a GPU: its results are asked for, or the size of a result depends on them
WAITS = {
    *('item', 'tolist', 'cpu', 'numpy', '__bool__', '__int__', '__float__', '__index__', 'equal', 'allclose'),
    *('nonzero', 'argwhere', 'unique', 'masked_select', 'bincount', 'nms'),
}
# what makes tensors of Python's numbers; on a GPU if they get a device, and then it waits for all that went before
FROM_NUMBERS = {'tensor', 'as_tensor', 'from_numpy'}
MAKERS = FROM_NUMBERS | {'zeros', 'ones', 'empty', 'full', 'arange', 'linspace', 'eye'}


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
    with forms_of_a_gpu(), StageOperators() as count:
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
    """Counts the calls for which a CPU would wait for a GPU, by name, also where there is no GPU.

    Then tensors count as the GPU's, but for those that come from ``cpu()`` or are made without a device, and
    what is computed of them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()
        self._on_host = WeakTensorKeyDictionary()

    def __torch_function__(self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, '__name__', '').split('.')[0]
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        # numbers (0 dimensions) of either may stand beside tensors of the other
        on_host = any(map(self._is_on_host, [t for t in tensors if t.dim()] or tensors)) or (
            not tensors and name in MAKERS
        )
        uploads = self._uploads(name, args, kwargs, on_host)
        if wait := uploads or self._waits(name, args, on_host):
            self.calls[wait] += 1
        result = func(*args, **kwargs)
        parts = list(result) if name == '__iter__' else tree_leaves(result)
        for tensor in parts:
            if isinstance(tensor, Tensor):
                self._mark(tensor, name == 'cpu' or (on_host and not self._moves(args, kwargs)))
        return iter(parts) if name == '__iter__' else result

    def _mark(self, tensor: Tensor, on_host: bool) -> None:
        if on_host:
            self._on_host[tensor] = True
        else:
            self._on_host.pop(tensor, None)

    def _is_on_host(self, tensor: Tensor) -> bool:
        return tensor in self._on_host or (torch.cuda.is_available() and not tensor.is_cuda)

    @staticmethod
    def _moves(args: tuple, kwargs: dict) -> bool:
        """Whether a call says on which device its result is; the models' devices are told from a CPU's by that."""
        return kwargs.get('device') is not None or any(isinstance(a, torch.device | str) for a in args[1:])

    def _uploads(self, name: str, args: tuple, kwargs: dict, on_host: bool) -> str:
        """What brings numbers from the CPU to the GPU and waits for it; ``''`` for any other call."""
        if name == 'new_tensor':
            return '' if on_host else name
        takes = name in FROM_NUMBERS or (name == 'to' and on_host and not kwargs.get('non_blocking'))
        return name if takes and self._moves(args, kwargs) else ''

    def _waits(self, name: str, args: tuple, on_host: bool) -> str:
        """What asks for the GPU's results; ``''`` for any other call."""
        if on_host:
            return ''
        index = args[1] if name in ('__getitem__', '__setitem__') else ()
        parts = index if isinstance(index, tuple) else (index,)
        if any(isinstance(i, Tensor) and i.dtype == torch.bool for i in parts):
            return '[mask]'
        if any(isinstance(i, list | np.ndarray) for i in parts):
            return '[list]'
        by_condition = name == 'where' and len(args) == 1
        by_tensor = name == 'repeat_interleave' and isinstance(args[-1], Tensor)
        return name if name in WAITS or by_condition or by_tensor else ''


@contextmanager
def forms_of_a_gpu() -> Iterator[None]:
    """On a CPU too what a GPU would be given: all pairs of frames at once, one NMS, masks in a thread."""
    chunks = batched_boxes._chunks
    changes = [
        (batched_boxes, '_chunks', lambda *args: chunks(*args[:-1], True)),
        (later_masks, 'gains_by_a_thread', lambda masks: True),
        (propagation, 'can_skip_empty_cells', lambda *tensors: False),
        (propagation, 'CPU_NUMBERS', propagation.GPU_NUMBERS),
        (mask_propagation_head, 'CELLS_AT_ONCE', mask_propagation_head.GPU_CELLS_AT_ONCE),
        (dilated_convs, 'LANES', 2**62),
    ]
    with ExitStack() as stack:
        for owner, name, value in changes:
            stack.enter_context(patch.object(owner, name, value))
        yield


def count_waits(form: Callable[[], None]) -> dict[str, int]:
    """Calls in one frame that would make a CPU wait for a GPU, of the project's and of mmdet's Python code."""
    with forms_of_a_gpu(), WaitCounter() as counter:
        form()
    return dict(counter.calls.most_common())
