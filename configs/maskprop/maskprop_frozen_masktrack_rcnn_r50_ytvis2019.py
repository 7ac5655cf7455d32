"""MaskProp's branch on the public MaskTrack R-CNN (YouTube-VIS 2019, 30.2 AP), whose detector stays as it is.

Run:  maskprop train configs/maskprop/maskprop_frozen_masktrack_rcnn_r50_ytvis2019.py --auto-scale-lr
      maskprop test configs/maskprop/maskprop_frozen_masktrack_rcnn_r50_ytvis2019.py CHECKPOINT.pth
Data: docs/data.md (data/youtube_vis_2019, split into mini-train and mini-val)

Its cost: docs/training.md, "On a detector that stays as it is".
"""

_base_ = '../masktrack_rcnn/masktrack_rcnn_r50_fpn_12e_ytvis2019.py'

from mmengine.hub import get_config

public = get_config('mmdet::masktrack_rcnn/masktrack-rcnn_mask-rcnn_r50_fpn_8xb1-12e_youtubevis2019.py', pretrained=True)
load_from = public.model_path
del public

model = dict(
    detector=dict(init_cfg=None),  # load_from has it all
    frozen=('detector',),
    track_head=None,
    propagation_head=dict(
        type='MaskPropagationHead',
        normalizer='instances+background',
        match_channels=32,
        mask_channel=True,
        copy_gain=8.0,
    ),
    linker=dict(_delete_=True, type='ClipLinker', threshold=0.1),
    clip_radius=6,
    merge_iou=0.7,
    score_rule='with_category',
    min_frames=1,
)
train_cfg = dict(max_epochs=6)
param_scheduler = [
    dict(type='LinearLR', start_factor=1 / 3, by_epoch=False, begin=0, end=500),
    dict(type='MultiStepLR', by_epoch=True, begin=0, end=6, milestones=[4, 5], gamma=0.1),
]
