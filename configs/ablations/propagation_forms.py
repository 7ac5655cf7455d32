"""Forms of the propagation branch: what the softmax runs over, and how instance and frame are fused.

Run:  maskprop ablate configs/ablations/propagation_forms.py

The paper has `instances, sum`: softmax over the instances, g + f. `matching` is ReLU(P g + Q f) of 16 channels.
"""

_base_ = ['_base_/heads.py']

study = dict(
    title='Forms of the propagation branch: normalizer and fusion (Section 4.2)',
    note="The paper has 'instances, sum'.",
    # the first two are what other studies train too
    rows=[
        dict(
            name=f'{normalizer}, {"matching" if channels else "sum"}',
            train=dict(name='propagation')
            if (normalizer, channels) == ('instances+background', None)
            else dict(
                name=f'{normalizer.replace("+", "_")}_{"matching" if channels else "sum"}',
                options={
                    'model.propagation_head.normalizer': normalizer,
                    'model.propagation_head.match_channels': channels,
                },
            ),
        )
        for normalizer in ('instances+background', 'instances', 'sigmoid')
        for channels in (None, 16)
    ],
)
