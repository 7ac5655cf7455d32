"""The short demo's training: from the model of five shapes to one of eight, 640 frame pairs, a minute on two cores.

Of the eight classes three are new, and all have other colours than before, so what says the classes begins at random.

Run:  maskprop demo       or
      maskprop synthetic data/eight_shapes --videos 60 --val-videos 20 --categories 8 --seed 2026
      maskprop train configs/demo/maskprop_mini_eight_shapes.py
"""

_base_ = './maskprop_mini_synthetic.py'

data_root = 'data/eight_shapes/'
num_classes = 8
model = dict(num_classes=num_classes)
load_from = 'maskprop_mini_synthetic'

train_dataloader = dict(sampler=dict(samples_per_epoch=640), dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/val.json')
test_evaluator = val_evaluator

max_epochs = 1
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
# half of the long demo's rate: of batches of 4 pairs in place of 8
optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=10),
    dict(type='CosineAnnealingLR', by_epoch=True, T_max=max_epochs, convert_to_iter_based=True),
]
auto_scale_lr = dict(base_batch_size=4)
default_hooks = dict(logger=dict(interval=20))
