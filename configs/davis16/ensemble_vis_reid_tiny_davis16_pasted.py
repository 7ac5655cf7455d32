"""EnsembleVIS's ReID model on crops of the instances of clips pasted from DAVIS 2016.

Run, with the set of maskprop_tiny_davis16_pasted.py:
      maskprop train configs/davis16/ensemble_vis_reid_tiny_davis16_pasted.py
"""

_base_ = ['../ensemble_vis/ensemble_vis_reid_tiny_synthetic.py']

data_root = 'data/davis16_pasted/'
train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
