"""The same, on clips of several real objects: masked objects of one video pasted, moving, onto another.

Run:  maskprop synthetic data/davis16_pasted --videos 120 --val-videos 24 --seed 0 --size 144x256 \
          --from ../shared/davis16_vis --train-range 0 0.6 --val-range 0.7 1.0
      bash tools/dist_train.sh configs/davis16/maskprop_tiny_davis16_pasted.py 2 \
          --cfg-options load_from=work_dirs/maskprop_tiny_davis16/epoch_4.pth
      maskprop train configs/davis16/maskprop_tiny_davis16_pasted.py --auto-scale-lr \
          --cfg-options load_from=work_dirs/maskprop_tiny_davis16/epoch_4.pth

The learning rate is for 8 samples, 4 on each of two processes; --auto-scale-lr fits it to one process.
"""

_base_ = ['./maskprop_tiny_davis16.py']

data_root = 'data/davis16_pasted/'
train_dataloader = dict(
    dataset=dict(data_root=data_root, ann_file='annotations/train.json', frame_range=(0.0, 1.0))
)
val_dataloader = dict(
    dataset=dict(data_root=data_root, ann_file='annotations/val.json', frame_range=(0.0, 1.0), frame_stride=2)
)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/val.json', frame_range=(0.0, 1.0), frame_stride=2)
test_evaluator = val_evaluator

max_epochs = 2
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.02, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', by_epoch=True, T_max=max_epochs, convert_to_iter_based=True),
]
