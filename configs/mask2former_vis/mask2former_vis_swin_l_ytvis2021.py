"""Mask2Former-VIS, Swin-L, YouTube-VIS 2021 (published: 52.3 AP); the rest as with ResNet-50.

Run:  maskprop train configs/mask2former_vis/mask2former_vis_swin_l_ytvis2021.py --auto-scale-lr
      maskprop infer mask2former_vis_swin_l_ytvis2021 my_video.mp4 --out out
Data: docs/data.md (data/youtube_vis_2021, split into mini-train and mini-val)
"""

_base_ = './mask2former_vis_r50_ytvis2021.py'

from mmengine.hub import get_config

published = get_config('mmdet::mask2former_vis/mask2former_swin-l-p4-w12-384-in21k_8xb2-8e_youtubevis2021.py')
published.model.backbone.init_cfg = None
model = dict(
    backbone=dict(_delete_=True, **published.model.backbone),
    track_head=dict(in_channels=published.model.track_head.in_channels, num_queries=200),
    init_cfg=published.model.init_cfg,
)
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=published.optim_wrapper.paramwise_cfg.custom_keys))
del published
