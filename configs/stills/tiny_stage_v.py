"""Stage V of the study on the synthetic set: the demo's MaskProp on a tenth of the videos.

Run:  maskprop ablate configs/stills/study_tiny_synthetic.py --dry-run   (docs/stills.md)

Alone: maskprop train configs/stills/tiny_stage_v.py
"""

_base_ = ['../demo/maskprop_tiny_synthetic.py']

scale = (96, 64)
load = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadVideoAnnotations'),
    dict(type='Resize', scale=scale, keep_ratio=True),
]
finish = [dict(type='RandomFlip', prob=0.5), dict(type='FilterVideoAnnotations', min_mask_area=8)]
train_pipeline = [
    dict(type='SampleFramePair', max_gap=8),  # 4 frames at the test's stride
    dict(type='TransformBroadcaster', share_random_params=True, transforms=[*load, *finish]),
    dict(type='PackTrackInputs'),
]
test_pipeline = [
    dict(
        type='TransformBroadcaster',
        transforms=[dict(type='LoadImageFromFile'), dict(type='Resize', scale=scale, keep_ratio=True)],
    ),
    dict(type='PackTrackInputs'),
]

iterations, batch_size = 200, 4
train_dataloader = dict(
    batch_size=batch_size,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(samples_per_epoch=iterations * batch_size),
    dataset=dict(indices=10, pipeline=train_pipeline),  # the first 10 of 100 videos
)
val_dataloader = dict(dataset=dict(frame_stride=2, pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(frame_stride=2)
test_evaluator = val_evaluator

max_epochs = 1
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
optim_wrapper = dict(optimizer=dict(lr=1.5e-3))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.02, by_epoch=False, begin=0, end=40),
    dict(type='CosineAnnealingLR', by_epoch=True, T_max=max_epochs, convert_to_iter_based=True),
]
auto_scale_lr = dict(enable=False, base_batch_size=batch_size)
