"""Transforms beside mmdet's; importing this package registers them."""

from maskprop.datasets.transforms.annotations import FilterVideoAnnotations, LoadVideoAnnotations
from maskprop.datasets.transforms.clip_sampling import SampleClip
from maskprop.datasets.transforms.crops import CropInstance, RandomGamma
from maskprop.datasets.transforms.frame_sampling import SampleFramePair
from maskprop.datasets.transforms.lone_objects import PasteLoneObject
from maskprop.datasets.transforms.reference_sampling import SampleReferenceAndPair
from maskprop.datasets.transforms.trajectories import FrameTrajectory
from maskprop.datasets.transforms.warps import MotionBlur, RandomPerspectiveAffine

__all__ = [
    'CropInstance',
    'FilterVideoAnnotations',
    'FrameTrajectory',
    'LoadVideoAnnotations',
    'MotionBlur',
    'PasteLoneObject',
    'RandomGamma',
    'RandomPerspectiveAffine',
    'SampleClip',
    'SampleFramePair',
    'SampleReferenceAndPair',
]
