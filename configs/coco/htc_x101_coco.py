"""mmdet's HTC X101-64x4d (COCO, 41.4 mask AP) on any video: 80 classes, linked by flow, without training.

Run:  maskprop infer configs/coco/htc_x101_coco.py CHECKPOINT.pth my_video.mp4 --out out

CHECKPOINT.pth is mmdet's as it is: configs/coco/metafile.yml names it. Other links, speed: docs/coco.md
"""

_base_ = './htc_r50_coco.py'

from mmengine.hub import get_config

backbone = get_config('mmdet::htc/htc_x101-64x4d_fpn_16xb1-20e_coco.py').model.backbone
backbone.init_cfg = None
model = dict(detector=dict(backbone=backbone))
del backbone
