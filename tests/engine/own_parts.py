"""Parts as a user's own modules may have them, with arguments that no signature tells."""

from __future__ import annotations

from mmdet.registry import METRICS
from mmengine import registry
from mmengine.dataset import DefaultSampler
from mmengine.evaluator import BaseMetric
from mmengine.hooks import CheckpointHook, Hook


@METRICS.register_module()
class KeepingMetric(BaseMetric):
    """Keeps what its base class does not know."""

    def __init__(self, **options: object) -> None:
        super().__init__()
        self.options = options

    def process(self, data_batch, data_samples):
        pass

    def compute_metrics(self, results):
        return {}


@registry.HOOKS.register_module()
class PoppingHook(CheckpointHook):
    def __init__(self, *args, **kwargs):
        self.intervals = kwargs.pop('intervals', 0)
        super().__init__(*args, **kwargs)


@registry.HOOKS.register_module()
class NewHook(Hook):
    def __new__(cls, every: int = 3):
        return object.__new__(cls)


@registry.DATA_SAMPLERS.register_module(name='RandomSampler')  # there is a task util of this name
class WeightedSampler(DefaultSampler):
    def __init__(self, dataset, weights=None, **kwargs):
        super().__init__(dataset, **kwargs)


@registry.OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class PairConstructor:
    def __init__(self, optim_wrapper_cfg, paramwise_cfg=None):
        pass


class Resize:
    """Not registered, and not mmdet's."""

    def __init__(self, ratio: float = 1) -> None:
        pass


def collate(batch: list) -> list:
    return batch
