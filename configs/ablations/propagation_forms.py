"""The propagation branch alone, on the demo's frozen detector: to compare its forms side by side.

Run, after make demo, for each normalizer and fusion (match_channels=None is the letter's sum):
      python tools/train.py configs/ablations/propagation_forms.py --work-dir work_dirs/forms/sigmoid_match \
          --cfg-options model.propagation_head.normalizer=sigmoid model.propagation_head.match_channels=16
      python tools/eval_propagation.py configs/ablations/propagation_forms.py CHECKPOINT.pth \
          --cfg-options model.propagation_head.normalizer=sigmoid model.propagation_head.match_channels=16
"""

_base_ = ['../demo/maskprop_tiny_synthetic.py']

model = dict(
    detector=dict(
        init_cfg=dict(type='Pretrained', checkpoint='work_dirs/demo/train/epoch_8.pth', prefix='detector.')
    ),
    frozen=('detector',),
)
max_epochs = 2
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.02, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', by_epoch=True, T_max=max_epochs, convert_to_iter_based=True),
]
