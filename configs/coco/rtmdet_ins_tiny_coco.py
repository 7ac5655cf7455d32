"""mmdet's RTMDet-Ins tiny (COCO, 35.4 mask AP) on any video: 80 classes, linked by flow, without training.

Run:  maskprop infer configs/coco/rtmdet_ins_tiny_coco.py CHECKPOINT.pth my_video.mp4 --out out

CHECKPOINT.pth is mmdet's as it is: configs/coco/metafile.yml names it. Other links, speed: docs/coco.md
"""

_base_ = './_base_/rtmdet_ins.py'

detector = dict(
    backbone=dict(deepen_factor=0.167, widen_factor=0.375),
    neck=dict(in_channels=[96, 192, 384], out_channels=96, num_csp_blocks=1),
    bbox_head=dict(in_channels=96, feat_channels=96),
)
model = dict(detector=detector)
del detector
