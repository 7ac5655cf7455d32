"""SipMask-VIS trained at many scales: long side 649 to 960, short side 360 to 480, drawn independently.

Run:  maskprop train configs/sipmask/sipmask_ms_r50_fpn_12e_ytvis2019.py --auto-scale-lr --cfg-options load_from=START.pth

Tested at 640x360. All else is configs/sipmask/sipmask_r50_fpn_12e_ytvis2019.py. The published list has 649 where
640 may be meant.
"""

_base_ = './sipmask_r50_fpn_12e_ytvis2019.py'

train_pipeline = _base_.train_pipeline
train_pipeline[1].transforms[2] = dict(
    type='RandomResize', scale=[(649, 360), (960, 480)], resize_type='mmdet.Resize', keep_ratio=True
)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
