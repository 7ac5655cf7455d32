"""The appearance net of the demo's DeepSORT: a small ResNet-18 on crops of the synthetic set's instances.

Run:  python tools/train.py configs/tracking_by_detection/reid_tiny_synthetic.py
      python tools/test.py configs/tracking_by_detection/reid_tiny_synthetic.py \
          work_dirs/reid_tiny_synthetic/iter_1000.pth

As mmdet trains its own: batches of 8 identities with 4 crops of each, triplet loss on the hardest of them, and a
classifier of all identities. docs/methods/tracking_by_detection.md
"""

_base_ = ['../_base_/models/reid_tiny.py', '../_base_/default_runtime.py']

data_root = 'data/synthetic/'
crop_size = _base_.crop_size  # height, width

model = _base_.reid

train_pipeline = [
    dict(
        type='TransformBroadcaster',
        share_random_params=False,
        transforms=[
            dict(type='LoadImageFromFile'),
            dict(type='CropInstance', jitter=0.1),
            dict(type='Resize', scale=crop_size[::-1], keep_ratio=False),
            dict(type='RandomFlip', prob=0.5),
        ],
    ),
    dict(type='PackReIDInputs', meta_keys=()),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='CropInstance'),
    dict(type='Resize', scale=crop_size[::-1], keep_ratio=False),
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
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=max_iters))
log_processor = dict(by_epoch=False)
