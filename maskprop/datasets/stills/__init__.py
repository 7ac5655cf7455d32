"""Sets of still images (COCO, OpenImages) as YouTube-VIS files of videos of one frame: docs/stills.md."""

from maskprop.datasets.stills.class_map import ClassMap, load_class_map
from maskprop.datasets.stills.coco import convert_coco
from maskprop.datasets.stills.openimages import OpenImagesFiles, convert_openimages
from maskprop.datasets.stills.records import Options

__all__ = ['ClassMap', 'OpenImagesFiles', 'Options', 'convert_coco', 'convert_openimages', 'load_class_map']
