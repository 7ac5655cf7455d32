"""Ids blind to categories, as in the paper, against ids within a category: test only, on the demo's model.

Run:  maskprop ablate configs/ablations/linking_category.py
"""

_base_ = ['../demo/maskprop_tiny_synthetic.py']

study = dict(
    title='Ids within a category, or blind to it as in the paper',
    rows=[
        dict(name='maskprop'),
        dict(name='maskprop, blind', variant=dict(linker=dict(type='ClipLinker', threshold=0.002, recent=1))),
        dict(
            name='box IoU',
            variant=dict(linker=dict(type='BoxIoULinker', threshold=0.02, same_category=True), fill=False),
        ),
        dict(name='box IoU, blind', variant=dict(linker=dict(type='BoxIoULinker', threshold=0.02), fill=False)),
    ],
)
