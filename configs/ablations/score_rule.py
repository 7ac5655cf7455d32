"""Score of a video-level result (Section 4.4, "Scoring"): test only, on the demo's model.

Run:  maskprop ablate configs/ablations/score_rule.py

"We average classification scores (separately for each object category)": over all clips of the id (`all`), or over
those in which the category was seen (`with_category`). `majority` is MaskTrack R-CNN's rule.
"""

_base_ = ['../demo/maskprop_tiny_synthetic.py']

study = dict(
    title='Score rule (Section 4.4)',
    rows=[dict(name=rule, variant=dict(score_rule=rule)) for rule in ('all', 'with_category', 'majority')],
)
