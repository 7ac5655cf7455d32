"""MaskTrack R-CNN, ObjProp's filling and MaskProp on clips of several real objects, on one detector.

Run, after the trainings that configs/davis16/maskprop_tiny_davis16_pasted.py names:
      maskprop train configs/davis16/study_tiny_davis16_pasted.py --auto-scale-lr \
          --cfg-options load_from=work_dirs/maskprop_tiny_davis16_pasted/epoch_2.pth
      maskprop compare-variants configs/davis16/study_tiny_davis16_pasted.py CHECKPOINT

--auto-scale-lr fits the learning rate, which is for 8 samples, to one process with 4. The training of docs/methods/objprop.md was
one process without it.
"""

_base_ = ['./maskprop_tiny_davis16_pasted.py', '../_base_/models/tiny_heads.py']

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
