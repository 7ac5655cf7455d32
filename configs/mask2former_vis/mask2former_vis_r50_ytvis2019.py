"""Mask2Former-VIS, ResNet-50, YouTube-VIS 2019, mmdet's schedule; tested on a stream of linked clips.

Run:  maskprop train configs/mask2former_vis/mask2former_vis_r50_ytvis2019.py --auto-scale-lr
      bash tools/dist_train.sh configs/mask2former_vis/mask2former_vis_r50_ytvis2019.py 8 --auto-scale-lr
Data: docs/data.md (data/youtube_vis_2019, split into mini-train and mini-val)

640x360, flips, frame pairs at most 100 apart, AdamW at 1e-4 for 16 samples, 6,000 iterations of 16 samples as 8 epochs. How it is
implemented: docs/methods/mask2former_vis.md.
"""

_base_ = [
    '../_base_/models/mask2former_vis_r50.py',
    '../_base_/datasets/youtube_vis_2019_360p.py',
    '../_base_/default_runtime.py',
]

model = dict(num_classes=_base_.num_classes)

train_pipeline = _base_.train_pipeline
train_pipeline[0] = dict(type='SampleFramePair', max_gap=100)
train_dataloader = dict(
    batch_size=2, sampler=dict(samples_per_epoch=12000), dataset=dict(pipeline=train_pipeline)
)

train_cfg = dict(type='VideoTrainLoop', max_epochs=8, val_interval=1)
val_cfg = dict(type='VideoValLoop')
test_cfg = dict(type='VideoTestLoop')

embedding = dict(lr_mult=1.0, decay_mult=0.0)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-4, weight_decay=0.05, eps=1e-8, betas=(0.9, 0.999)),
    paramwise_cfg=dict(
        custom_keys=dict(
            backbone=dict(lr_mult=0.1, decay_mult=1.0),
            query_embed=embedding,
            query_feat=embedding,
            level_embed=embedding,
        ),
        norm_decay_mult=0.0,
    ),
    clip_grad=dict(max_norm=0.01, norm_type=2),
)
del embedding
# after 4,000 of 6,000 iterations
param_scheduler = [
    dict(type='MultiStepLR', by_epoch=True, milestones=[16 / 3], gamma=0.1, convert_to_iter_based=True)
]
auto_scale_lr = dict(enable=False, base_batch_size=16)
