"""The appearance model of the demo's DeepSORT: a small ResNet-18 on crops of the synthetic set's instances.

Run:  maskprop train configs/tracking_by_detection/reid_tiny_synthetic.py
      maskprop test configs/tracking_by_detection/reid_tiny_synthetic.py \
          work_dirs/reid_tiny_synthetic/iter_1000.pth

As mmdet trains its own: batches of 8 identities with 4 crops of each, triplet loss on the hardest of them, and a
classifier of all identities. docs/methods/tracking_by_detection.md
"""

_base_ = ['../_base_/models/reid_tiny.py', '../_base_/datasets/synthetic_crops.py']

model = _base_.reid
