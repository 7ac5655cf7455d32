"""MaskProp, HTC with ResNet-50-FPN, YouTube-VIS 2019, the paper's schedule (Table 4: 40.0 mAP, 42.9 AP75).

Run:  maskprop train configs/maskprop/maskprop_htc_r50_fpn_20e_ytvis2019.py --auto-scale-lr
      bash tools/dist_train.sh configs/maskprop/maskprop_htc_r50_fpn_20e_ytvis2019.py 8 --auto-scale-lr
Data: docs/data.md (data/youtube_vis_2019, split into mini-train and mini-val). Override any key, for example
      --cfg-options model.propagation_head.normalizer=instances+background
"""

_base_ = [
    '../_base_/models/maskprop_htc_r50_fpn.py',
    '../_base_/datasets/youtube_vis_2019.py',
    '../_base_/schedules/maskprop_20e.py',
    '../_base_/default_runtime.py',
]

model = dict(num_classes=_base_.num_classes)
