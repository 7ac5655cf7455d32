"""mmdet's RTMDet-Ins medium (COCO, 42.1 mask AP) on any video: 80 classes, linked by flow, without training.

Run:  maskprop infer configs/coco/rtmdet_ins_m_coco.py CHECKPOINT.pth my_video.mp4 --out out

CHECKPOINT.pth is mmdet's as it is: configs/coco/metafile.yml names it. Other links, speed: docs/coco.md
"""

_base_ = './_base_/rtmdet_ins.py'

detector = dict(
    backbone=dict(deepen_factor=0.67, widen_factor=0.75),
    neck=dict(in_channels=[192, 384, 768], out_channels=192, num_csp_blocks=2),
    bbox_head=dict(in_channels=192, feat_channels=192),
)
model = dict(detector=detector)
del detector
