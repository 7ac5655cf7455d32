"""Propagation scheme (Table 3): the branch, MaskTrack R-CNN's track head, optical flow, copies, box IoU.

Run:  maskprop ablate configs/ablations/propagation_scheme.py

The heads learn together on the frozen detector, so that all rows have the same detections. MaskTrack R-CNN* is the
paper's name for the track head on MaskProp's own detector. Flow is OpenCV's DIS: FlowNet2's weights may not be
given away, so its row in the paper stands beside another flow. Missed frames are filled where a row says so, and
by ObjProp.
"""

_base_ = ['../objprop/study_tiny_synthetic.py']

linked = dict(_base_.variants.maskprop, fill=False)
flow = dict(type='FlowPropagator', flow=dict(type='DISFlow'))
study = dict(
    title='Propagation scheme (Table 3)',
    paper='MaskProp, MaskTrack R-CNN* and FlowNet2 propagation on one backbone and detector',
    train=dict(name='three_heads'),
    rows=[
        dict(name='MaskProp', variant=linked, paper=dict(AP=46.6, AP75=51.2)),
        dict(name='MaskProp, filled', variant=_base_.variants.maskprop),
        dict(name='MaskTrack R-CNN*', paper=dict(AP=36.9, AP75=40.2)),
        dict(name='flow', variant=dict(propagator=flow, **linked), paper=dict(AP=31.4, AP75=33.6)),
        dict(name='flow, no check', variant=dict(propagator=dict(flow, consistency=None), **linked)),
        dict(
            name='flow, chained, no check',
            variant=dict(propagator=dict(flow, chained=True, consistency=None), **linked),
        ),
        dict(name='copy', variant=dict(propagator=dict(type='CopyPropagator'), **linked)),
        dict(name='copy, T = 3', variant=dict(propagator=dict(type='CopyPropagator'), clip_radius=3, **linked)),
        dict(
            name='box IoU',
            variant=dict(
                linker=dict(type='BoxIoULinker', threshold=0.02, same_category=True), fill=False, score_rule='all'
            ),
        ),
        dict(name='ObjProp', variant=dict(history_fill=dict())),
    ],
)
del linked, flow
