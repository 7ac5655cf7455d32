"""EnsembleVIS's ReID model for the synthetic set: a small ResNet-18 on crops, minutes on two CPU cores.

Run, with the set in data/synthetic (docs/synthetic.md):
      maskprop train configs/ensemble_vis/ensemble_vis_reid_tiny_synthetic.py
      maskprop test configs/ensemble_vis/ensemble_vis_reid_tiny_synthetic.py CHECKPOINT

Boxes enlarged by 1.2, the triplet loss without a margin and no classifier beside it, as PReMVOS trains its own.
docs/methods/ensemble_vis.md
"""

_base_ = ['./_base_/nets_tiny.py', '../_base_/datasets/synthetic_crops.py']

model = _base_.reid

train_pipeline = _base_.train_pipeline
train_pipeline[0]['transforms'] = [
    dict(type='LoadImageFromFile'),
    dict(type='CropInstance', jitter=0.1, context=1.2),
    dict(type='Resize', scale=_base_.crop_size[::-1], keep_ratio=False),
    dict(type='RandomGamma', amount=0.05),
    dict(type='RandomFlip', prob=0.5),
]
test_pipeline = _base_.test_pipeline
test_pipeline[1] = dict(type='CropInstance', context=1.2)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
