"""DeepSORT's appearance model on crops of the instances of clips pasted from DAVIS 2016.

Run, with the set of maskprop_tiny_davis16_pasted.py:
      maskprop train configs/davis16/reid_tiny_davis16_pasted.py
"""

_base_ = ['../tracking_by_detection/reid_tiny_synthetic.py']

data_root = 'data/davis16_pasted/'
train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
