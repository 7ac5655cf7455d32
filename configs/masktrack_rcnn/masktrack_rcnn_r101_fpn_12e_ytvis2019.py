"""MaskTrack R-CNN, ResNet-101-FPN, YouTube-VIS 2019; the rest as with ResNet-50.

Run:  maskprop train configs/masktrack_rcnn/masktrack_rcnn_r101_fpn_12e_ytvis2019.py --auto-scale-lr
      bash tools/dist_train.sh configs/masktrack_rcnn/masktrack_rcnn_r101_fpn_12e_ytvis2019.py 4 --auto-scale-lr
Data: docs/data.md (data/youtube_vis_2019, split into mini-train and mini-val)
"""

_base_ = './masktrack_rcnn_r50_fpn_12e_ytvis2019.py'

from mmengine.hub import get_config

detector = get_config(
    'mmdet::masktrack_rcnn/masktrack-rcnn_mask-rcnn_r101_fpn_8xb1-12e_youtubevis2019.py'
).model.detector
detector.backbone.init_cfg = None
model = dict(detector=dict(backbone=detector.backbone, init_cfg=detector.init_cfg))
del detector
