"""Transforms beside mmdet's; importing this package registers them."""

from maskprop.datasets.transforms.annotations import FilterVideoAnnotations, LoadVideoAnnotations
from maskprop.datasets.transforms.clip_sampling import SampleClip
from maskprop.datasets.transforms.crops import CropInstance
from maskprop.datasets.transforms.frame_sampling import SampleFramePair
from maskprop.datasets.transforms.lone_objects import PasteLoneObject

__all__ = [
    'CropInstance',
    'FilterVideoAnnotations',
    'LoadVideoAnnotations',
    'PasteLoneObject',
    'SampleClip',
    'SampleFramePair',
]
