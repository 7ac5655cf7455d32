"""Transforms beside mmdet's; importing this package registers them."""

from maskprop.datasets.transforms.annotations import FilterVideoAnnotations, LoadVideoAnnotations
from maskprop.datasets.transforms.frame_sampling import SampleFramePair

__all__ = ['FilterVideoAnnotations', 'LoadVideoAnnotations', 'SampleFramePair']
