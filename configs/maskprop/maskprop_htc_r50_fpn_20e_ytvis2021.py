"""MaskProp, HTC with ResNet-50-FPN, YouTube-VIS 2021, the paper's schedule. The papers have no numbers for this set.

Run:  maskprop train configs/maskprop/maskprop_htc_r50_fpn_20e_ytvis2021.py --auto-scale-lr
      bash tools/dist_train.sh configs/maskprop/maskprop_htc_r50_fpn_20e_ytvis2021.py 8 --auto-scale-lr
Data: docs/data.md (data/youtube_vis_2021, split into mini-train and mini-val). For YouTube-VIS 2022 or OVIS put
youtube_vis_2022.py or ovis.py in the place of youtube_vis_2021.py.
"""

_base_ = [
    '../_base_/models/maskprop_htc_r50_fpn.py',
    '../_base_/datasets/youtube_vis_2021.py',
    '../_base_/schedules/maskprop_20e.py',
    '../_base_/default_runtime.py',
]

model = dict(num_classes=_base_.num_classes)
