"""A training set whose classes are not the model's."""

from __future__ import annotations

from mmdet.registry import DATASETS

from maskprop.datasets.ytvis_dataset import YouTubeVISJsonDataset
from maskprop.datasets.ytvis_json import AnnotationError, GroundTruth


@DATASETS.register_module()
class OtherClassesDataset(YouTubeVISJsonDataset):
    """Objects of any class, to train heads that are blind to classes on a detector that stays as it is.

    Its ``metainfo`` is the model's (``classes``, ``category_ids``), whatever the file's categories are, so that
    checkpoints say what the detector finds. Every object has label 0: nothing that looks at labels can be
    trained on it.

    Raises:
        AnnotationError: ``metainfo`` has no classes.
    """

    def _set_classes(self, gt: GroundTruth) -> None:
        if not self._metainfo.get('classes'):
            raise AnnotationError(f"{self.ann_file}: OtherClassesDataset needs metainfo.classes, the model's")
        self.cat_ids = sorted(category['id'] for category in gt['categories'])
        self.cat2label = dict.fromkeys(self.cat_ids, 0)
