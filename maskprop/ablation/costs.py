"""What the rows of a study cost at test: frames a second and parameters, all measured by one process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from time import perf_counter

import torch
from torch import nn

from maskprop.ablation.jobs import Job
from maskprop.ablation.testing import load_test
from maskprop.engine.checkpoint import load_checkpoint_file

VIDEOS, ROUNDS = 4, 3
STATISTICS = ('running_mean', 'running_var', 'num_batches_tracked')


@dataclass(frozen=True)
class RowCost:
    """What a row costs.

    Attributes:
        frames_a_second: from the files of the frames to the results of the videos; detector and tracker.
        parameters: of the model and of nets of its own.
    """

    frames_a_second: float
    parameters: int


def measure_costs(tests: Sequence[Job], videos: int = VIDEOS, rounds: int = ROUNDS) -> dict[str, RowCost]:
    """Costs of all rows of some tests, by row.

    Rows take turns, so that what else a machine does meets all of them; every row runs its detector anew.

    Args:
        tests: done, of one seed. videos: the first of the set, which are tracked. rounds: the median is taken of.
    """
    from maskprop.apis.variants import run_variants

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    rows, nets = {}, {}
    for test in tests:
        nets.update(test.details['nets'])
        model, dataset = load_test(test, videos)
        stride = test.details['frame_stride']
        frames = sum(-(-dataset.get_len_per_video(video) // stride) for video in range(len(dataset)))
        for name, variant in test.details['rows'].items():
            rows[name] = model, dataset, variant, stride, test.details['ground_truth'], frames
    seconds: dict[str, list[float]] = {name: [] for name in rows}
    for _ in range(rounds):
        for name, (model, dataset, variant, stride, ground_truth, _) in rows.items():
            begun = perf_counter()
            run_variants(model, dataset, {name: variant}, [stride], ground_truth=ground_truth)
            seconds[name].append(perf_counter() - begun)
    torch.set_num_threads(threads)
    return {
        name: RowCost(frames / median(seconds[name]), _parameters(model, nets[name]))
        for name, (model, _, _, _, _, frames) in rows.items()
    }


def _parameters(model: nn.Module, nets: Sequence[str]) -> int:
    """Of a model and of checkpoints of nets that its linker loads, which are none of its modules."""
    tensors = list(model.parameters())
    for file in nets:
        state = load_checkpoint_file(file)['state_dict']
        tensors += [value for name, value in state.items() if not name.endswith(STATISTICS)]
    return sum(tensor.numel() for tensor in tensors)
