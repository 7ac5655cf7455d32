"""Crops of YouTube-VIS 2019's instances: mini-train to train on, mini-val to validate."""

_base_ = ['../../_base_/default_runtime.py']

data_root = 'data/youtube_vis_2019/'
train_dataloader = dict(
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='InstanceCropDataset',
        data_root=data_root,
        ann_file='annotations/mini_train.json',
        data_prefix=dict(img_path='train/JPEGImages'),
    ),
)
val_dataloader = dict(
    batch_size=64,
    num_workers=8,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='InstanceCropDataset',
        data_root=data_root,
        ann_file='annotations/mini_val.json',
        data_prefix=dict(img_path='train/JPEGImages'),
        frame_stride=4,
    ),
)
default_hooks = dict(checkpoint=dict(save_best=None, rule=None))  # the metrics of crops are not video AP
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
