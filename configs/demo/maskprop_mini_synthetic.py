"""The model of the short demo: that of the long one without its backbone's last stage.

Run:  make demo
Its weights are beside this file, maskprop_mini_synthetic-DIGEST.safetensors. They were made by
      make demo-weights
"""

_base_ = './maskprop_tiny_synthetic.py'

model = dict(
    detector=dict(
        backbone=dict(num_stages=3, strides=(1, 2, 2), dilations=(1, 1, 1), out_indices=(0, 1, 2)),
        neck=dict(in_channels=[16, 32, 64]),
    )
)
