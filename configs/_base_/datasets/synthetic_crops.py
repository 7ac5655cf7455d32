"""Crops of a synthetic set's instances for appearance models: data, and a schedule of minutes on a CPU.

As mmdet trains its own: batches of 8 identities with 4 crops of each. Crops are 64x64 pixels, as the models of
configs/_base_/models/reid_tiny.py take them.
"""

_base_ = ['../default_runtime.py']

data_root = 'data/synthetic/'

train_pipeline = [
    dict(
        type='TransformBroadcaster',
        share_random_params=False,
        transforms=[
            dict(type='LoadImageFromFile'),
            dict(type='CropInstance', jitter=0.1),
            dict(type='Resize', scale=(64, 64), keep_ratio=False),
            dict(type='RandomFlip', prob=0.5),
        ],
    ),
    dict(type='PackReIDInputs', meta_keys=()),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='CropInstance'),
    dict(type='Resize', scale=(64, 64), keep_ratio=False),
    dict(type='PackReIDInputs', meta_keys=()),
]
train_dataloader = dict(
    batch_size=1,  # of num_ids x ins_per_id crops
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='InstanceCropDataset',
        data_root=data_root,
        ann_file='annotations/train.json',
        data_prefix=dict(img_path='JPEGImages'),
        triplet_sampler=dict(num_ids=8, ins_per_id=4),
        frame_stride=4,
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=64,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='InstanceCropDataset',
        data_root=data_root,
        ann_file='annotations/val.json',
        data_prefix=dict(img_path='JPEGImages'),
        frame_stride=8,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='ReIDMetrics', metric=['mAP', 'CMC'])
test_evaluator = val_evaluator

max_iters = 1000
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=max_iters)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05, fused=True),
    clip_grad=dict(max_norm=10),
)
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=False, T_max=max_iters)]
# the metrics of crops are not video AP
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=max_iters, save_best=None, rule=None))
log_processor = dict(by_epoch=False)
