"""EnsembleVIS's ReID model on the objects of YouTube-VIS 2019, with PReMVOS's crops, loss and learning rates.

Run:  maskprop train configs/ensemble_vis/ensemble_vis_reid_r50_ytvis2019.py
      maskprop test configs/ensemble_vis/ensemble_vis_reid_r50_ytvis2019.py CHECKPOINT \
          --cfg-options test_dataloader.dataset.ann_file=annotations/mini_val.json
Data: docs/data.md (data/youtube_vis_2019, split into mini-train and mini-val)

64 crops of 16 objects a step, Adam at 1e-5, later at 5e-6; how long they trained is not known: 100 times their
"epoch" of 25,000 crops here. docs/methods/ensemble_vis.md
"""

_base_ = ['./_base_/nets_ytvis2019.py', './_base_/crops_ytvis2019.py']

model = _base_.reid

train_pipeline = [
    dict(
        type='TransformBroadcaster',
        share_random_params=False,
        transforms=[
            dict(type='LoadImageFromFile'),
            dict(type='CropInstance', context=1.2),
            dict(type='Resize', scale=_base_.reid_size[::-1], keep_ratio=False),
            dict(type='RandomGamma', amount=0.05),
            dict(type='RandomFlip', prob=0.5),
        ],
    ),
    dict(type='PackReIDInputs', meta_keys=()),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='CropInstance', context=1.2),
    dict(type='Resize', scale=_base_.reid_size[::-1], keep_ratio=False),
    dict(type='PackReIDInputs', meta_keys=()),
]
train_dataloader = dict(
    batch_size=1,  # of num_ids x ins_per_id crops
    dataset=dict(triplet_sampler=dict(num_ids=16, ins_per_id=4), pipeline=train_pipeline),
)
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = _base_.val_dataloader
test_dataloader['dataset'].update(pipeline=test_pipeline)
val_evaluator = dict(type='ReIDMetrics', metric=['mAP', 'CMC'])
test_evaluator = val_evaluator

max_iters = 39000
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=3900)
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=1e-5))
param_scheduler = [dict(type='MultiStepLR', by_epoch=False, milestones=[max_iters // 2], gamma=0.5)]
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=3900))
log_processor = dict(by_epoch=False)
