"""The short demo's model: the long one's without its backbone's last stage, three fifths of the weights.

Its trained weights are the file beside this one, which the name maskprop_mini_synthetic stands for:
      maskprop demo
      maskprop infer maskprop_mini_synthetic VIDEO --out out
They were made by `make demo-weights`.
"""

_base_ = './maskprop_tiny_synthetic.py'

model = dict(
    detector=dict(
        backbone=dict(num_stages=3, strides=(1, 2, 2), dilations=(1, 1, 1), out_indices=(0, 1, 2)),
        neck=dict(in_channels=[16, 32, 64]),
    )
)
