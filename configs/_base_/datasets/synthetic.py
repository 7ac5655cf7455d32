"""A set of maskprop synthetic (docs/synthetic.md), tested at every fourth frame, where motion is fast."""

dataset_type = 'YouTubeVISJsonDataset'
data_root = 'data/synthetic/'
frame_stride = 4
num_classes = 5  # the tools take it from the file

train_pipeline = [
    dict(type='SampleFramePair', max_gap=16),  # 4 frames at the test's stride
    dict(
        type='TransformBroadcaster',
        share_random_params=True,
        transforms=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadVideoAnnotations'),
            dict(type='Resize', scale=(160, 96), keep_ratio=True),
            dict(type='RandomFlip', prob=0.5),
            dict(type='FilterVideoAnnotations', min_mask_area=8),
        ],
    ),
    dict(type='PackTrackInputs'),
]
test_pipeline = [
    dict(
        type='TransformBroadcaster',
        transforms=[
            dict(type='LoadImageFromFile'),
            dict(type='Resize', scale=(160, 96), keep_ratio=True),
        ],
    ),
    dict(type='PackTrackInputs'),
]

train_dataloader = dict(
    batch_size=4,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='SeededFrameSampler', seed=0, samples_per_epoch=1320),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='annotations/train.json',
        data_prefix=dict(img_path='JPEGImages'),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type='VideoFrameSampler'),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='annotations/val.json',
        data_prefix=dict(img_path='JPEGImages'),
        frame_stride=frame_stride,
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(type='YTVISMetric', ann_file=data_root + 'annotations/val.json', frame_stride=frame_stride)
test_evaluator = val_evaluator
