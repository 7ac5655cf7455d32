"""Overlays, videos and strips of frames; ``hook.py`` draws them for ``maskprop test --show-dir``."""

from maskprop.visualization.overlay import draw_instances
from maskprop.visualization.palette import track_color
from maskprop.visualization.strip import draw_strip, strip_from_files
from maskprop.visualization.tracks import Track, draw_tracks, tracks_from_annotations, tracks_from_results
from maskprop.visualization.video_writer import VideoWriter

__all__ = [
    'Track',
    'VideoWriter',
    'draw_instances',
    'draw_strip',
    'draw_tracks',
    'strip_from_files',
    'track_color',
    'tracks_from_annotations',
    'tracks_from_results',
]
