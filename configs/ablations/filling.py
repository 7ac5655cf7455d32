"""Filling of frames that the detector missed (not in the paper): test only, on the demo's model.

Run:  maskprop ablate configs/ablations/filling.py
"""

_base_ = ['../demo/maskprop_tiny_synthetic.py']

study = dict(
    title='Filling missed frames from the clips that carry the id',
    rows=[
        dict(name='filled', variant=dict(fill=True)),
        dict(name='not filled', variant=dict(fill=False)),
        dict(name='filled, T = 2', variant=dict(fill=True, clip_radius=2)),
        dict(name='not filled, T = 2', variant=dict(fill=False, clip_radius=2)),
    ],
)
