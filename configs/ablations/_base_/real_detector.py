"""The detector of the studies on real clips: the small model from scratch on clips pasted from DAVIS 2016.

Data: the command in configs/davis16/maskprop_tiny_davis16_pasted.py makes data/davis16_pasted.
"""

_base_ = ['../../davis16/maskprop_tiny_davis16_pasted.py']

max_epochs = 6
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.02, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', by_epoch=True, T_max=max_epochs, convert_to_iter_based=True),
]
