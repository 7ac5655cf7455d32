"""Eq. 5 as written against the mean over an id's latest tracks, by clip radius: test only, on the demo's model.

Run:  maskprop ablate configs/ablations/linking_recent.py

Ground-truth masks, linked by the trained branch, blind to categories, without filling: only linking can fail.
"""

_base_ = ['../demo/maskprop_tiny_synthetic.py']

rows = [
    dict(
        name=f'T = {radius}, recent = {recent}',
        ground_truth=True,
        variant=dict(
            clip_radius=radius, fill=False, linker=dict(type='ClipLinker', threshold=0.05, recent=recent)
        ),
    )
    for radius in (6, 1, 2)
    for recent in (None, 1, 2, 3)
]
rows.append(
    dict(
        name='box IoU',
        ground_truth=True,
        variant=dict(linker=dict(type='BoxIoULinker', threshold=0.02), fill=False),
    )
)
rows.append(
    dict(
        name='copy, T = 1, recent = 1',
        ground_truth=True,
        variant=dict(
            propagator=dict(type='CopyPropagator'),
            clip_radius=1,
            fill=False,
            linker=dict(type='ClipLinker', threshold=0.05, recent=1),
        ),
    )
)
study = dict(title='Mean of Eq. 5 over all tracks of an id, or over its latest', rows=rows)
del rows
