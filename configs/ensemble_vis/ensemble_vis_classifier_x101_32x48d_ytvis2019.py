"""EnsembleVIS's crop classifier, ResNeXt-101 32x48d of 829 million parameters, YouTube-VIS 2019.

Run:  maskprop train configs/ensemble_vis/ensemble_vis_classifier_x101_32x48d_ytvis2019.py
      maskprop test configs/ensemble_vis/ensemble_vis_classifier_x101_32x48d_ytvis2019.py CHECKPOINT
Data: docs/data.md (data/youtube_vis_2019, split into mini-train and mini-val)

It begins from the weights for Instagram and ImageNet (3.3 GB, CC-BY-NC 4.0). Crops, data and schedule are this
project's choice: the paper says nothing of them. docs/methods/ensemble_vis.md
"""

_base_ = ['./_base_/nets_ytvis2019.py', './_base_/crops_ytvis2019.py']

model = _base_.classifier

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='CropInstance', jitter=0.1, context=1.2),
    dict(type='Resize', scale=_base_.classifier_size[::-1], keep_ratio=False),
    dict(type='RandomGamma', amount=0.05),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackReIDInputs', meta_keys=()),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='CropInstance', context=1.2),
    dict(type='Resize', scale=_base_.classifier_size[::-1], keep_ratio=False),
    dict(type='PackReIDInputs', meta_keys=()),
]
own = dict(label='category', background=True)
train_dataloader = dict(batch_size=16, dataset=dict(pipeline=train_pipeline, frame_stride=2, **own))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline, **own))
test_dataloader = _base_.val_dataloader
test_dataloader['dataset'].update(pipeline=test_pipeline, **own)
del own
val_evaluator = dict(type='CropAccuracy')
test_evaluator = val_evaluator

max_epochs = 4
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=max_epochs, val_interval=1)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=1e-3, momentum=0.9, weight_decay=1e-4),
    clip_grad=dict(max_norm=35, norm_type=2),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=500),
    dict(type='CosineAnnealingLR', by_epoch=True, T_max=max_epochs, convert_to_iter_based=True),
]
auto_scale_lr = dict(enable=False, base_batch_size=16)
