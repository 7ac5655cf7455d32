"""mmdet's RTMDet-Ins small (COCO, 38.7 mask AP) on any video: 80 classes, linked by flow, without training.

Run:  maskprop infer configs/coco/rtmdet_ins_s_coco.py CHECKPOINT.pth my_video.mp4 --out out

CHECKPOINT.pth is mmdet's as it is: configs/coco/metafile.yml names it. Other links, speed: docs/coco.md
"""

_base_ = './_base_/rtmdet_ins.py'

detector = dict(
    backbone=dict(deepen_factor=0.33, widen_factor=0.5),
    neck=dict(in_channels=[128, 256, 512], out_channels=128, num_csp_blocks=1),
    bbox_head=dict(in_channels=128, feat_channels=128),
)
model = dict(detector=detector)
del detector
