"""Eq. 5 as written against the mean over an id's latest tracks, by clip radius: test only, on the demo's model.

Run:  python tools/compare_variants.py configs/ablations/linking_recent.py work_dirs/demo/train/epoch_8.pth \
          --ground-truth --frame-strides 4
"""

_base_ = ['../demo/maskprop_tiny_synthetic.py']

variants = {
    f'T={radius} recent={recent}': dict(
        clip_radius=radius, fill=False, linker=dict(type='ClipLinker', threshold=0.05, recent=recent)
    )
    for radius in (1, 2, 6)
    for recent in (None, 1, 2, 3)
}
variants['_delete_'] = True  # not the demo's rows
variants['box_iou'] = dict(linker=dict(type='BoxIoULinker', threshold=0.02), fill=False)
variants['copy, T=1, recent=1'] = dict(
    propagator=dict(type='CopyPropagator'),
    clip_radius=1,
    fill=False,
    linker=dict(type='ClipLinker', threshold=0.05, recent=1),
)
