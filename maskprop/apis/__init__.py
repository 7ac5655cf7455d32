"""What a user calls from Python; see docs/inference.md."""

from maskprop.apis.frames import VideoError
from maskprop.apis.inference import infer_video_to_folder, inference_video, stream_results
from maskprop.apis.model import init_model
from maskprop.apis.session import VideoSession
from maskprop.engine.runs import test, train
from maskprop.zoo import list_models

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
