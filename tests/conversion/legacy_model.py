"""The legacy configs' models at the widths of reference_state.py."""

from __future__ import annotations

from mmengine.config import Config
from torch import nn

import maskprop

maskprop.register_all()

from mmdet.registry import MODELS  # noqa: E402

from maskprop.engine.num_classes import fit_num_classes  # noqa: E402
from tests.conversion.reference_state import BASE, CLASSES, FC, FPN  # noqa: E402

OBJPROP = 'configs/objprop/objprop_r50_fpn_legacy.py'
MASKTRACK = 'configs/masktrack_rcnn/masktrack_rcnn_r50_fpn_legacy.py'


def build_legacy_model(config: str = OBJPROP, options: dict | None = None) -> nn.Module:
    """The model of :func:`narrow_config`."""
    cfg = narrow_config(config, options)
    fit_num_classes(cfg.model, CLASSES)
    return MODELS.build(cfg.model).eval()


def narrow_config(config: str = OBJPROP, options: dict | None = None) -> Config:
    """Every width is smaller than the config's; all else is the config's.

    Args:
        config: file of the config.
        options: further keys, as ``--cfg-options``.
    """
    cfg = Config.fromfile(config)
    roi_head = 'model.detector.roi_head'
    cfg.merge_from_dict(
        {
            'model.detector.backbone.base_channels': BASE,
            'model.detector.neck.in_channels': [BASE * 4 * 2**stage for stage in range(4)],
            'model.detector.neck.out_channels': FPN,
            'model.detector.rpn_head.in_channels': FPN,
            'model.detector.rpn_head.feat_channels': FPN,
            f'{roi_head}.bbox_roi_extractor.out_channels': FPN,
            f'{roi_head}.bbox_head.in_channels': FPN,
            f'{roi_head}.bbox_head.fc_out_channels': FC,
            f'{roi_head}.mask_roi_extractor.out_channels': FPN,
            f'{roi_head}.mask_head.in_channels': FPN,
            f'{roi_head}.mask_head.conv_out_channels': FPN,
            'model.track_head.roi_extractor.out_channels': FPN,
            'model.track_head.embed_head.in_channels': FPN,
            'model.track_head.embed_head.fc_out_channels': FC,
            **(options or {}),
        }
    )
    if 'attention_head' in cfg.model:
        cfg.model.attention_head.update(in_channels=FPN, channels=FPN, num_classes=CLASSES)
    return cfg
