"""YouTube-VIS 2019 at 640x360, as the codes of MaskTrack R-CNN and SipMask train and test."""

_base_ = './youtube_vis_2019.py'

train_pipeline = [
    dict(type='SampleFramePair', max_gap=None, with_objects=True),  # uniform over all others with an object
    dict(
        type='TransformBroadcaster',
        share_random_params=True,
        transforms=[
            dict(type='LoadImageFromFile', backend_args=_base_.backend_args),
            dict(type='LoadVideoAnnotations'),
            dict(type='Resize', scale=(640, 360), keep_ratio=True),
            dict(type='RandomFlip', prob=0.5),
            dict(type='FilterVideoAnnotations'),
        ],
    ),
    dict(type='PackTrackInputs', default_meta_keys=_base_.meta_keys),
]
test_pipeline = [
    dict(
        type='TransformBroadcaster',
        transforms=[
            dict(type='LoadImageFromFile', backend_args=_base_.backend_args),
            dict(type='Resize', scale=(640, 360), keep_ratio=True),
        ],
    ),
    dict(type='PackTrackInputs', default_meta_keys=_base_.meta_keys),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
