"""OSMN on the demo's small Mask R-CNN and synthetic set, from scratch, minutes on two CPU cores.

Run, with the set in data/synthetic (docs/synthetic.md):
      maskprop train configs/osmn/osmn_tiny_synthetic.py --auto-scale-lr
      maskprop test configs/osmn/osmn_tiny_synthetic.py CHECKPOINT
      maskprop compare-variants configs/osmn/osmn_tiny_synthetic.py CHECKPOINT

VGG-16's layers, an eighth as wide, on guides of 64 pixels. Schedule, detection losses on all frames of a sample and
the score threshold are the demo's. docs/methods/osmn.md
"""

_base_ = ['../demo/maskprop_tiny_synthetic.py']

model = dict(
    propagation_head=dict(
        _delete_=True,
        type='OSMNHead',
        widths=(8, 16, 32, 64, 64),
        fc_width=128,
        guide_size=64,
        dropout=0.0,
        max_objects=None,
        reduction='mean',
    ),
    linker=dict(_delete_=True, type='PropagatedMaskLinker', output='detected'),
    fill=False,
    score_rule='majority',
)
# [TrackByDet] and [MaskProp] of Yang et al., and in place of the branch in MaskProp's clips
variants = dict(
    _delete_=True,
    detected=dict(),
    propagated=dict(linker=dict(type='PropagatedMaskLinker', output='propagated')),
    clips=dict(linker=_base_.model.linker, clip_radius=3, fill=True, score_rule='all'),
)

train_pipeline = _base_.train_pipeline
train_pipeline[0] = dict(type='SampleReferenceAndPair', step=(1, 2, 4), both_ways=True)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
