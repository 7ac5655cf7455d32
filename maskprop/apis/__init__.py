"""What a user calls from Python; see docs/inference.md.

Each name is imported when it is first used: most bring torch and mmdet, which take seconds.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from maskprop.apis.frames import VideoError
    from maskprop.apis.inference import infer_video_to_folder, inference_video, stream_results
    from maskprop.apis.model import init_model
    from maskprop.apis.session import VideoSession
    from maskprop.engine.runs import test, train
    from maskprop.zoo import list_models

_HOMES = dict(
    VideoError='maskprop.apis.frames',
    VideoSession='maskprop.apis.session',
    infer_video_to_folder='maskprop.apis.inference',
    inference_video='maskprop.apis.inference',
    init_model='maskprop.apis.model',
    list_models='maskprop.zoo',
    stream_results='maskprop.apis.inference',
    test='maskprop.engine.runs',
    train='maskprop.engine.runs',
)

__all__ = [
    'VideoError',
    'VideoSession',
    'infer_video_to_folder',
    'inference_video',
    'init_model',
    'list_models',
    'stream_results',
    'test',
    'train',
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value
