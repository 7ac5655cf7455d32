"""YouTube-VIS 2019: trains on mini-train, validates on mini-val, writes a submission for the validation set.

The published validation set has no annotations, so first (docs/data.md):
  maskprop split data/youtube_vis_2019/annotations/train.json --val-videos 238 --seed 0
Sizes and gaps are the paper's (Section 4.4); the long side, and the size at test, are this project's choice.
"""

dataset_type = 'YouTubeVISJsonDataset'
data_root = 'data/youtube_vis_2019/'
backend_args = None
num_classes = 40  # the tools take it from the file

# What the model and the tools use of each frame, left out: the annotations once more, as mmdet would copy them.
meta_keys = (
    'img_id',
    'img_path',
    'ori_shape',
    'img_shape',
    'scale_factor',
    'flip',
    'flip_direction',
    'frame_id',
    'video_id',
    'video_length',
    'ori_video_length',
)

train_pipeline = [
    # delta: uniform over the frames that exist from 25 before to 25 after, counted in listed frames
    dict(type='SampleFramePair', max_gap=25, gap_unit='listed'),
    dict(
        type='TransformBroadcaster',
        share_random_params=True,  # the same size, flip and crop for both frames
        transforms=[
            dict(type='LoadImageFromFile', backend_args=backend_args),
            dict(type='LoadVideoAnnotations'),
            # (long side at most, shorter side): the shorter side is drawn from 400 to 800
            dict(
                type='RandomResize', scale=[(1333, 400), (1333, 800)], resize_type='mmdet.Resize', keep_ratio=True
            ),
            dict(type='RandomFlip', prob=0.5),
            # A crop, if wanted, goes here; see docs/data.md:
            # dict(type='RandomCrop', crop_size=(384, 640), allow_negative_crop=True, recompute_bbox=True),
            dict(type='FilterVideoAnnotations'),
        ],
    ),
    dict(type='PackTrackInputs', default_meta_keys=meta_keys),
]
test_pipeline = [
    dict(
        type='TransformBroadcaster',
        transforms=[
            dict(type='LoadImageFromFile', backend_args=backend_args),
            dict(type='Resize', scale=(1333, 720), keep_ratio=True),
        ],
    ),
    dict(type='PackTrackInputs', default_meta_keys=meta_keys),
]

train_dataloader = dict(
    batch_size=1,  # one pair for each GPU
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='SeededFrameSampler'),  # every frame once an epoch as key frame
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='annotations/mini_train.json',
        data_prefix=dict(img_path='train/JPEGImages'),
        frame_stride=1,
        keep_empty_frames=False,
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='VideoFrameSampler'),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='annotations/mini_val.json',
        data_prefix=dict(img_path='train/JPEGImages'),
        frame_stride=1,
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='VideoFrameSampler'),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='annotations/valid.json',
        data_prefix=dict(img_path='valid/JPEGImages'),
        frame_stride=1,
        test_mode=True,
        pipeline=test_pipeline,
    ),
)

val_evaluator = dict(type='YTVISMetric', ann_file=data_root + 'annotations/mini_val.json')
test_evaluator = dict(
    type='YTVISMetric',
    ann_file=data_root + 'annotations/valid.json',
    format_only=True,
)
