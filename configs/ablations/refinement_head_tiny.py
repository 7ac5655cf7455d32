"""The mask refinement alone, on the demo's frozen detector and propagation branch, and its output on and off.

Run, after make demo-full:
      maskprop train configs/ablations/refinement_head_tiny.py --auto-scale-lr
      maskprop compare-variants configs/ablations/refinement_head_tiny.py CHECKPOINT.pth
"""

_base_ = ['../demo/maskprop_tiny_synthetic.py']

model = dict(
    # patches as fine as the frames: objects are 50 pixels long, their windows 75
    refinement_head=dict(type='MaskRefinementHead', patch_size=80, channels=24, max_instances=16, chunk=16),
    frozen=('detector', 'propagation_head'),
)
load_from = 'work_dirs/demo_full/train/epoch_8.pth'  # all but the refinement head
variants = dict(_delete_=True, refined=dict(), unrefined=dict(refine=False))

max_epochs = 1
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.02, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', by_epoch=True, T_max=max_epochs, convert_to_iter_based=True),
]
