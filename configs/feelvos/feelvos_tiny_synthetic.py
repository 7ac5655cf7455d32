"""FEELVOS on the demo's small Mask R-CNN and synthetic set, from scratch, minutes on two CPU cores.

Run, with the set in data/synthetic (docs/synthetic.md):
      maskprop train configs/feelvos/feelvos_tiny_synthetic.py --auto-scale-lr
      maskprop test configs/feelvos/feelvos_tiny_synthetic.py CHECKPOINT
      maskprop compare-variants configs/feelvos/feelvos_tiny_synthetic.py CHECKPOINT

It has no backbone of its own, but reads the detector's FPN at strides 4 and 8, and is narrower than the paper's
everywhere. Schedule, detection losses on all frames of a sample and the score threshold are the demo's. docs/methods/feelvos.md
"""

_base_ = ['../demo/maskprop_tiny_synthetic.py']

model = dict(
    propagation_head=dict(
        _delete_=True,
        type='FEELVOSHead',
        backbone=None,
        in_channels=32,
        low_channels=32,
        channels=32,
        low_width=8,
        dilations=(2, 4, 6),
        embed_channels=16,
        head_channels=32,
        num_convs=2,
        radius=10,
        min_reference_cells=3,
        share_steps=1000,
    ),
    linker=dict(_delete_=True, type='PropagatedMaskLinker', output='propagated'),
    fill=False,
    score_rule='majority',
)
# [MaskProp] and [TrackByDet] of Yang et al., and in place of the branch in MaskProp's clips
variants = dict(
    _delete_=True,
    propagated=dict(),
    detected=dict(linker=dict(type='PropagatedMaskLinker', output='detected')),
    clips=dict(linker=_base_.model.linker, clip_radius=3, fill=True, score_rule='all'),
)

train_pipeline = _base_.train_pipeline
train_pipeline[0] = dict(type='SampleReferenceAndPair', step=(1, 2, 4), both_ways=True)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
