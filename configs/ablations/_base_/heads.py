"""The demo's model as the studies train its heads: on the frozen detector of a seed, two epochs.

The detector's weights come from maskprop ablate.
"""

_base_ = ['../../demo/maskprop_tiny_synthetic.py']

model = dict(frozen=('detector',))
max_epochs = 2
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.02, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', by_epoch=True, T_max=max_epochs, convert_to_iter_based=True),
]
