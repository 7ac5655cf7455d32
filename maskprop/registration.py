"""Importing this module registers the whole project; see :func:`maskprop.register_all`."""

from __future__ import annotations

from maskprop.utils.quiet import quiet_imports

with quiet_imports():  # a config's custom_imports come here directly
    from mmdet.utils import register_all_modules

    import maskprop.ops  # noqa: F401  before anything imports mmcv.ops

    register_all_modules(init_default_scope=True)

import maskprop.datasets.instance_crops  # noqa: E402, F401
import maskprop.datasets.mixtures  # noqa: E402, F401
import maskprop.datasets.other_classes  # noqa: E402, F401
import maskprop.datasets.samplers  # noqa: E402, F401
import maskprop.datasets.transforms  # noqa: E402, F401
import maskprop.datasets.ytvis_dataset  # noqa: E402, F401
import maskprop.engine.bf16  # noqa: E402, F401
import maskprop.engine.compile_hook  # noqa: E402, F401
import maskprop.engine.hooks  # noqa: E402, F401
import maskprop.engine.loops  # noqa: E402, F401
import maskprop.evaluation.metric  # noqa: E402, F401
import maskprop.methods  # noqa: E402, F401
import maskprop.models  # noqa: E402, F401
import maskprop.tracking  # noqa: E402, F401
import maskprop.visualization.hook  # noqa: E402, F401
