"""Mask2Former-VIS, ResNet-101, YouTube-VIS 2021 (published: 42.3 AP); the rest as with ResNet-50.

Run:  maskprop train configs/mask2former_vis/mask2former_vis_r101_ytvis2021.py --auto-scale-lr
      maskprop infer mask2former_vis_r101_ytvis2021 my_video.mp4 --out out
Data: docs/data.md (data/youtube_vis_2021, split into mini-train and mini-val)
"""

_base_ = './mask2former_vis_r50_ytvis2021.py'

from mmengine.hub import get_config

published = get_config('mmdet::mask2former_vis/mask2former_r101_8xb2-8e_youtubevis2021.py').model
published.backbone.init_cfg = None
model = dict(backbone=published.backbone, init_cfg=published.init_cfg)
del published
