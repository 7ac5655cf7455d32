"""Propagation scheme (Table 3) on real clips of several objects: the branch, the track head, optical flow, copies.

Run, with the set of configs/davis16/maskprop_tiny_davis16_pasted.py in data/davis16_pasted:
      maskprop ablate configs/ablations/propagation_scheme_real.py

The detector learns from scratch on twelve videos and is weak: look at the strips (maskprop compare-videos) too.
Missed frames are filled where a row says so, and by ObjProp.
"""

_base_ = ['../davis16/study_tiny_davis16_pasted.py']

linked = dict(_base_.variants.maskprop, fill=False)
flow = dict(type='FlowPropagator', flow=dict(type='DISFlow'))
study = dict(
    title='Propagation scheme (Table 3) on real clips',
    paper='MaskProp, MaskTrack R-CNN* and FlowNet2 propagation on one backbone and detector',
    detector='configs/ablations/_base_/real_detector.py',
    synthetic=None,
    frame_stride=2,
    train=dict(name='real_three_heads'),
    rows=[
        dict(name='MaskProp', variant=linked, paper=dict(AP=46.6, AP75=51.2)),
        dict(name='MaskProp, filled', variant=_base_.variants.maskprop),
        dict(name='MaskTrack R-CNN*', paper=dict(AP=36.9, AP75=40.2)),
        dict(name='flow', variant=dict(propagator=flow, **linked), paper=dict(AP=31.4, AP75=33.6)),
        dict(name='flow, no check', variant=dict(propagator=dict(flow, consistency=None), **linked)),
        dict(name='copy', variant=dict(propagator=dict(type='CopyPropagator'), **linked)),
        dict(name='ObjProp', variant=dict(history_fill=dict())),
    ]
    + [
        dict(name=f'{name}, true masks', ground_truth=True, variant=dict(**variant, **linked))
        for name, variant in (
            ('MaskProp', dict()),
            ('flow', dict(propagator=flow)),
            ('copy', dict(propagator=dict(type='CopyPropagator'))),
        )
    ],
)
del linked, flow
