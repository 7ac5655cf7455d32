"""Pictures of the videos that a test or validation loop has finished."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import mmcv
from mmdet.registry import HOOKS
from mmengine.hooks import Hook

from maskprop.utils.files import unique_names
from maskprop.utils.text import plural
from maskprop.visualization.files import write_image
from maskprop.visualization.strip import draw_strip
from maskprop.visualization.tracks import Track, draw_tracks, tracks_from_dataset, tracks_from_results
from maskprop.visualization.video_writer import VideoWriter


@HOOKS.register_module()
class VideoVisualizationHook(Hook):
    """Writes, per finished video, ``DIR/NAME/00000.jpg`` ..., ``DIR/NAME.mp4`` and ``DIR/NAME_strip.png``.

    NAME is the folder of the video's frames, followed by the video's id where two videos share that name. The
    strip has a row of ground truth where the data set has annotations. Each process draws its own videos.

    Args:
        out_dir: DIR.
        min_score: objects with a lower video score are not drawn.
        max_videos: how many videos each process draws; None: all.
        fps: frames a second of the mp4.
        num_columns: frames in the strip, evenly spaced.
        write_frames: write the images.
        write_video: write the mp4.
        write_strip: write the strip.
        upscale: whole factor by which pictures and video are larger than the frames, as for small ones.

    Attributes:
        failed: what went wrong, by the names of the videos that could not be drawn. That never ends a test or a
            training; after an error of the disk no more is drawn.
    """

    def __init__(
        self,
        out_dir: str | Path,
        min_score: float = 0.3,
        max_videos: int | None = None,
        fps: float = 6.0,
        num_columns: int = 6,
        write_frames: bool = True,
        write_video: bool = True,
        write_strip: bool = True,
        upscale: int = 1,
    ) -> None:
        if not fps > 0 or num_columns < 1:
            raise ValueError(f'fps must be above 0 and num_columns at least 1, got {fps} and {num_columns}')
        if isinstance(upscale, bool) or not isinstance(upscale, int) or upscale < 1:
            raise ValueError(f'upscale must be a whole number of at least 1, got {upscale!r}')
        self.out_dir = Path(out_dir)
        self.min_score = min_score
        self.max_videos = max_videos
        self.fps = fps
        self.num_columns = num_columns
        self.write_frames = write_frames
        self.write_video = write_video
        self.write_strip = write_strip
        self.upscale = upscale
        self.failed: dict[str, Exception] = {}
        self._num_drawn = 0
        self._videos: dict[int, tuple[int, str]] = {}

    def before_test_epoch(self, runner: Any) -> None:
        """Begins anew: another data set, and ``max_videos`` more videos."""
        self.failed = {}
        self._num_drawn = 0
        self._videos = {}

    before_val_epoch = before_test_epoch

    def after_test_epoch(self, runner: Any, metrics: Any = None) -> None:
        """Says where the pictures are, and how many videos could not be drawn."""
        if self._num_drawn > len(self.failed):
            runner.logger.info(f'pictures of the videos are in {self.out_dir}')
        if self.failed:
            runner.logger.warning(self.summary())

    after_val_epoch = after_test_epoch

    def summary(self) -> str:
        """How many videos could not be drawn, and why the first could not; empty if all could."""
        name, error = next(iter(self.failed.items()), ('', None))
        stopped = '; drawing stopped there' if isinstance(error, OSError) else ''
        return (
            f'{plural(len(self.failed), "video")} not drawn, the first: {name} ({error}){stopped}' if error else ''
        )

    def after_test_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """``outputs``: dict(video_id, results, img_paths) of the video that was finished."""
        self._draw_next(runner.test_dataloader.dataset, outputs)

    def after_val_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """As :meth:`after_test_iter`."""
        self._draw_next(runner.val_dataloader.dataset, outputs)

    def _draw_next(self, dataset: Any, outputs: Mapping[str, Any] | None) -> None:
        if not outputs or (self.max_videos is not None and self._num_drawn >= self.max_videos):
            return
        if any(isinstance(error, OSError) for error in self.failed.values()):
            return
        self._num_drawn += 1
        self._videos = self._videos or index_videos(dataset)
        index, name = self._videos[outputs['video_id']]
        try:
            self._draw(dataset, index, name, outputs)
        except Exception as error:  # of disks, codecs, fonts, pictures: no reason to lose the results
            self.failed[name] = error

    def _draw(self, dataset: Any, index: int, name: str, outputs: Mapping[str, Any]) -> None:
        meta = dataset.metainfo
        names = dict(zip(meta['category_ids'], meta['classes'], strict=True))
        tracks = tracks_from_results(outputs['results'], names, self.min_score)
        paths = outputs['img_paths']
        self._draw_frames(name, paths, tracks)
        if self.write_strip:
            truth = tracks_from_dataset(dataset.get_data_info(index)['images'], meta['classes'])
            rows = {'ground truth': truth} if truth else {}
            strip = draw_strip(paths, {**rows, 'prediction': tracks}, num_columns=self.num_columns)
            write_image(self.out_dir / f'{name}_strip.png', strip)

    def _draw_frames(self, name: str, paths: Sequence[str], tracks: Sequence[Track]) -> None:
        if not (self.write_frames or self.write_video):
            return
        path = self.out_dir / f'{name}.mp4'
        with VideoWriter(path, self.fps) if self.write_video else nullcontext() as video:
            for t, frame_path in enumerate(paths):
                picture = draw_tracks(mmcv.imread(str(frame_path)), tracks, t, upscale=self.upscale)
                if self.write_frames:
                    write_image(self.out_dir / name / f'{t:05d}.jpg', picture)
                if video is not None:
                    video.write(picture)


def index_videos(dataset: Any) -> dict[int, tuple[int, str]]:
    """For each video id of an mmdet video data set: its index and a unique name, the folder of its frames."""
    folders = []
    for i in range(len(dataset)):
        info = dataset.get_data_info(i)
        folders.append((info['video_id'], Path(info['images'][0]['img_path']).parent.name or 'video'))
    counts = Counter(folder for _, folder in folders)
    wanted = [folder if counts[folder] == 1 else f'{folder}_{video_id}' for video_id, folder in folders]
    return {
        video_id: (i, name)
        for i, ((video_id, _), name) in enumerate(zip(folders, unique_names(wanted), strict=True))
    }
