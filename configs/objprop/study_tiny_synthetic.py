"""The study on the synthetic set: MaskTrack R-CNN, the same with ObjProp's filling, and MaskProp, on one detector.

Run, with the set in data/synthetic (docs/synthetic.md) and a detector trained on it:
      maskprop train configs/objprop/study_tiny_synthetic.py --auto-scale-lr \
          --cfg-options load_from=DETECTOR.pth
      maskprop compare-variants configs/objprop/study_tiny_synthetic.py CHECKPOINT
For three seeds: maskprop ablate configs/ablations/propagation_scheme.py

DETECTOR.pth is a checkpoint of a config with the same model.detector, configs/demo/maskprop_tiny_synthetic.py for
one. It is frozen, and the three heads learn on it together. So all rows of the table have the same detections.
"""

_base_ = ['../demo/maskprop_tiny_synthetic.py', '../_base_/models/tiny_heads.py']

linked = dict(linker=_base_.model.linker, fill=_base_.model.fill, score_rule=_base_.model.score_rule)
model = dict(
    frozen=('detector',),
    track_head=_base_.tiny_track_head,
    attention_head=_base_.tiny_attention_head,
    linker=dict(_delete_=True, type='MaskTrackLinker'),
    fill=False,
    score_rule='majority',
)
variants = dict(_delete_=True, mask_track=dict(), objprop=dict(history_fill=dict()), maskprop=linked)
del linked
