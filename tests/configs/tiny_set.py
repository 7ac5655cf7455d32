"""Data, schedule and hooks of the test configs, for the set that tests/helpers.py writes."""

custom_imports = dict(imports=['maskprop.registration', 'tests.engine.tiny_model'], allow_failed_imports=False)
default_scope = 'mmdet'

load_frame = dict(type='LoadImageFromFile')
train_pipeline = [
    dict(type='SampleFramePair', max_gap=3),
    dict(
        type='TransformBroadcaster',
        share_random_params=True,
        transforms=[
            load_frame,
            dict(type='LoadVideoAnnotations'),
            dict(type='RandomChoiceResize', scales=[(64, 48), (80, 60)], keep_ratio=True),
            dict(type='RandomFlip', prob=0.5),
        ],
    ),
    dict(type='PackTrackInputs'),
]
test_pipeline = [
    dict(
        type='TransformBroadcaster', transforms=[load_frame, dict(type='Resize', scale=(80, 60), keep_ratio=True)]
    ),
    dict(type='PackTrackInputs'),
]
dataset = dict(type='YouTubeVISJsonDataset', data_root='unset/')

train_dataloader = dict(
    batch_size=2,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type='SeededFrameSampler', samples_per_epoch=9),
    dataset=dict(
        **dataset,
        ann_file='annotations/train.json',
        data_prefix=dict(img_path='train/JPEGImages'),
        pipeline=train_pipeline,
    ),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type='VideoFrameSampler'),
    dataset=dict(
        **dataset,
        ann_file='annotations/val.json',
        data_prefix=dict(img_path='val/JPEGImages'),
        pipeline=test_pipeline,
        test_mode=True,
    ),
)
val_dataloader = test_dataloader
test_evaluator = dict(type='YTVISMetric', ann_file='unset')
val_evaluator = test_evaluator

train_cfg = dict(type='VideoTrainLoop', max_epochs=2, val_interval=1)
val_cfg = dict(type='VideoValLoop')
test_cfg = dict(type='VideoTestLoop')
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=0.01), clip_grad=dict(max_norm=10))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=4),
    dict(type='MultiStepLR', by_epoch=True, milestones=[1], gamma=0.1),
]
auto_scale_lr = dict(enable=False, base_batch_size=4)

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=2),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=3),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    random_state=dict(type='RandomStateHook'),
    sync_buffers=dict(type='SyncBuffersHook'),
)
env_cfg = dict(cudnn_benchmark=False, mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0))
randomness = dict(seed=5)
log_level = 'WARNING'
