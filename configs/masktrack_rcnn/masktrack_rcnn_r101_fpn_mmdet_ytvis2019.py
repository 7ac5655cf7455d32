"""MaskTrack R-CNN, ResNet-101-FPN, as mmdet has it: for its published checkpoint, YouTube-VIS 2019 (32.2 AP).

Run:  maskprop infer masktrack_rcnn_r101_ytvis2019 my_video.mp4 --out out
"""

_base_ = './masktrack_rcnn_r50_fpn_mmdet_ytvis2019.py'

from mmengine.hub import get_config

detector = get_config(
    'mmdet::masktrack_rcnn/masktrack-rcnn_mask-rcnn_r101_fpn_8xb1-12e_youtubevis2019.py'
).model.detector
detector.backbone.init_cfg = None
model = dict(detector=dict(backbone=detector.backbone, init_cfg=detector.init_cfg))
del detector
