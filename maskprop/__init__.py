"""MaskProp and ObjProp: video instance segmentation on mmdetection.

Importing the package is cheap. :func:`register_all` makes its models, data sets, hooks and metrics known to mmdet.
"""

from __future__ import annotations

__version__ = '0.2.0'


def register_all() -> None:
    """Register every module of the project with mmdet's registries (idempotent).

    Configs get the same by ``custom_imports = dict(imports=['maskprop.registration'])``.
    """
    from maskprop.utils.quiet import quiet_imports

    with quiet_imports():
        import maskprop.registration  # noqa: F401
