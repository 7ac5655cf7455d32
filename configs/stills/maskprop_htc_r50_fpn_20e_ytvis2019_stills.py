"""Stage V: MaskProp on YouTube-VIS 2019, with one warped still image for two frame pairs.

Run, after S2:
      maskprop train configs/stills/maskprop_htc_r50_fpn_20e_ytvis2019_stills.py --auto-scale-lr \
          --cfg-options load_from=work_dirs/maskprop_htc_r50_fpn_s2_warps/epoch_5.pth
Without stills: the same with configs/maskprop/maskprop_htc_r50_fpn_20e_ytvis2019.py and
model.detector.init_cfg=None.
"""

_base_ = ['./maskprop_htc_r50_fpn_s2_warps.py']

videos = dict(
    type='YouTubeVISJsonDataset',
    data_root=_base_.data_root,
    ann_file='annotations/mini_train.json',
    data_prefix=dict(img_path='train/JPEGImages'),
    pipeline=_base_.train_pipeline,
)
train_dataloader = dict(
    # an epoch is one pass through the videos
    sampler=dict(parts=[dict(weight=1), dict(weight=0.5, **_base_.balance)], samples_per_epoch=None),
    dataset=dict(
        _delete_=True,
        type='ConcatVideoDataset',
        datasets=[videos, dict(**_base_.coco_stills, **_base_.stills)],
    ),
)

max_epochs = 20
train_cfg = dict(max_epochs=max_epochs, val_interval=1)
param_scheduler = [
    dict(type='LinearLR', start_factor=1 / 3, by_epoch=False, begin=0, end=500),
    dict(type='MultiStepLR', by_epoch=True, begin=0, end=max_epochs, milestones=[16, 19], gamma=0.1),
]
optim_wrapper = dict(paramwise_cfg=dict(_delete_=True))
