"""MaskProp for a small set of your own, some ten to some hundred videos, on one GPU or, slowly, on a CPU.

Run:  maskprop train configs/maskprop/maskprop_htc_r50_fpn_small_set.py --data data/my_videos
      maskprop test configs/maskprop/maskprop_htc_r50_fpn_small_set.py CHECKPOINT --data data/my_videos
Data: docs/data.md, "Your own videos". When to change what: docs/training.md, "Small sets"

HTC with ResNet-50-FPN from COCO, of which the first three of four stages of the backbone stay as they are; the branch
starts as a copier of masks; no refinement; frames of 640x360. An epoch has 500 iterations, whatever the size of the
set, and the learning rate is for one sample per step. The learning rate and the length of the training have not been tuned.
"""

_base_ = [
    '../_base_/models/maskprop_htc_r50_fpn.py',
    '../_base_/datasets/custom_vis.py',
    '../_base_/default_runtime.py',
]

model = dict(
    num_classes=_base_.num_classes,
    detector=dict(backbone=dict(frozen_stages=3)),
    propagation_head=dict(
        normalizer='instances+background', match_channels=32, mask_channel=True, copy_gain=8.0
    ),
    refinement_head=None,
    clip_radius=3,
)

train_pipeline = _base_.train_pipeline
train_pipeline[1]['transforms'][2].scale = [(768, 320), (768, 432)]
test_pipeline = _base_.test_pipeline
test_pipeline[0]['transforms'][1].scale = (640, 360)
train_dataloader = dict(sampler=dict(samples_per_epoch=500), dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))

max_epochs = 12
train_cfg = dict(type='VideoTrainLoop', max_epochs=max_epochs, val_interval=2)
val_cfg = dict(type='VideoValLoop')
test_cfg = dict(type='VideoTestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.0005, momentum=0.9, weight_decay=1e-4),
    clip_grad=dict(max_norm=35, norm_type=2),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=250),
    dict(type='MultiStepLR', by_epoch=True, begin=0, end=max_epochs, milestones=[8, 11], gamma=0.1),
]
auto_scale_lr = dict(enable=False, base_batch_size=1)
