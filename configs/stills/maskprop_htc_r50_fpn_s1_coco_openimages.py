"""Stage S1 on COCO and OpenImages, one image of the first for two of the second, in twice the steps.

Run:  maskprop train configs/stills/maskprop_htc_r50_fpn_s1_coco_openimages.py --auto-scale-lr
OpenImages has all 40 classes but ape, and masks for a part of its objects: the others have losses on boxes only.
"""

_base_ = ['./maskprop_htc_r50_fpn_s1_coco.py']

train_dataloader = dict(
    sampler=dict(parts=[dict(weight=1, **_base_.balance), dict(weight=2, **_base_.balance)]),
    dataset=dict(
        _delete_=True,
        type='ConcatVideoDataset',
        datasets=[
            dict(**_base_.coco_stills, pipeline=_base_.single_pipeline),
            dict(**_base_.open_images_stills, pipeline=_base_.single_pipeline),
        ],
    ),
)
max_epochs = 24
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=500),
    dict(type='MultiStepLR', by_epoch=True, begin=0, end=max_epochs, milestones=[16, 22], gamma=0.1),
]
