"""MaskProp from scratch on 12 real videos (DAVIS 2016 in YouTube-VIS layout), small enough for a CPU.

Run:  bash tools/dist_train.sh configs/davis16/maskprop_tiny_davis16.py 2
      maskprop train configs/davis16/maskprop_tiny_davis16.py --auto-scale-lr
      maskprop test configs/davis16/maskprop_tiny_davis16.py CHECKPOINT.pth --show-dir work_dirs/davis16_show
Data: ../shared/davis16_vis; for a copy elsewhere edit data_root, or override it in each data loader and evaluator.

The learning rate is for 8 samples, 4 on each of two processes; --auto-scale-lr fits it to one process.
Trains on the first 60 % of every video's frames, tests on the last 30 %; a quarter of an hour on two cores.
"""

_base_ = ['../demo/maskprop_tiny_synthetic.py']

data_root = '../shared/davis16_vis/'
ann_file = 'annotations/all.json'
train_range, test_range = (0.0, 0.6), (0.7, 1.0)
model = dict(num_classes=8)

train_pipeline = [
    dict(type='SampleFramePair', max_gap=12),
    dict(
        type='TransformBroadcaster',
        share_random_params=True,
        transforms=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadVideoAnnotations'),
            dict(type='RandomResize', scale=[(224, 126), (320, 180)], keep_ratio=True),
            dict(
                type='RandomCrop',
                crop_size=(144, 256),
                crop_type='absolute',
                allow_negative_crop=True,
                recompute_bbox=True,
            ),
            dict(type='RandomFlip', prob=0.5),
            dict(type='PhotoMetricDistortion'),
            dict(type='FilterVideoAnnotations', min_mask_area=16),
        ],
    ),
    dict(type='PackTrackInputs'),
]
test_pipeline = [
    dict(
        type='TransformBroadcaster',
        transforms=[dict(type='LoadImageFromFile'), dict(type='Resize', scale=(256, 144), keep_ratio=True)],
    ),
    dict(type='PackTrackInputs'),
]
train_dataloader = dict(
    dataset=dict(data_root=data_root, ann_file=ann_file, frame_range=train_range, pipeline=train_pipeline)
)
val_dataloader = dict(
    dataset=dict(
        data_root=data_root, ann_file=ann_file, frame_range=test_range, frame_stride=1, pipeline=test_pipeline
    )
)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + ann_file, frame_range=test_range, frame_stride=1)
test_evaluator = val_evaluator

max_epochs = 4
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.02, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', by_epoch=True, T_max=max_epochs, convert_to_iter_based=True),
]
