"""A video without end, of objects that come and go: its frames, and the same objects as detections."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from models import InjectedDetections
from torch import Tensor, nn

from maskprop.apis.frames import open_frames
from maskprop.visualization.video_writer import VideoWriter

COLUMNS, ROWS = 4, 2  # lanes, each with one object at a time


class Box(NamedTuple):
    """An object in one frame: (x1, y1, x2, y2) in pixels, class index and number."""

    box: tuple[float, float, float, float]
    label: int
    number: int


class Scene:
    """One object stays for ever; in the other lanes one follows another, after a pause, as another class.

    Any frame can be had at any time, and is always the same.

    Args:
        size: (height, width) of the frames in pixels.
        classes: number of classes.
        life: frames that an object stays; every ``life // 8 + 1`` frames or so a new one comes.
        pause: frames that a lane is empty in between.
    """

    def __init__(self, size: tuple[int, int], classes: int, life: int = 13, pause: int = 3) -> None:
        self.size, self.classes = size, classes
        self.life, self.period = life, life + pause
        self._noise = np.random.default_rng(0).integers(90, 140, (*size, 3)).astype(np.uint8)

    def objects(self, frame: int) -> list[Box]:
        """The objects of a frame, numbered through the video."""
        found = []
        lanes = COLUMNS * ROWS
        for lane in range(lanes):
            turn, age = divmod(frame + lane * self.period // lanes, self.period)
            if lane == 0:
                turn, age = 0, 0
            if age < self.life:
                label = (turn + lane) % self.classes
                found.append(Box(self._box(lane, turn, frame), label, turn * lanes + lane))
        return found

    def image(self, frame: int) -> np.ndarray:
        """The picture, (h, w, 3) uint8 BGR."""
        picture = np.roll(self._noise, frame % 7, axis=1)
        for (x1, y1, x2, y2), label, number in self.objects(frame):
            centre, axes = ((x1 + x2) / 2, (y1 + y2) / 2), (x2 - x1, y2 - y1)
            colour = (60 + 60 * (label % 3), 230 - 50 * (number % 4), 80 + 50 * (number % 3))
            cv2.ellipse(picture, (centre, axes, 0.0), colour, -1)
        return picture

    def _box(self, lane: int, turn: int, frame: int) -> tuple[float, float, float, float]:
        height, width = self.size[0] / ROWS, self.size[1] / COLUMNS
        row, column = divmod(lane, COLUMNS)
        sway = 0.1 * np.sin(frame / 9 + lane)
        x, y = (column + 0.5 + sway) * width, (row + 0.5 + 0.1 * (turn % 2)) * height
        half_width, half_height = 0.32 * width, 0.3 * height
        return x - half_width, y - half_height, x + half_width, y + half_height


class Film:
    """A scene's first frames in an mp4 file, which is read frame by frame; what is before a frame is read again.

    Args:
        path: of the file to write.
        scene: of which to write ``frames`` frames.
    """

    def __init__(self, path: Path, scene: Scene, frames: int) -> None:
        with VideoWriter(path, fps=24) as writer:
            for frame in range(frames):
                writer.write(scene.image(frame))
        self._source = open_frames(path)
        self._reader = iter(self._source)
        self._read = 0
        self._last: np.ndarray | None = None

    def image(self, frame: int) -> np.ndarray:
        """The picture as the file has it, (h, w, 3) uint8 BGR."""
        if frame < self._read - 1:
            self._reader, self._read = iter(self._source), 0
        while self._read <= frame:
            self._last = next(self._reader)
            self._read += 1
        return self._last


class InjectedScene(InjectedDetections):
    """Puts the objects of a scene in the place of what a detector found; ``frame`` says of which frame."""

    def __init__(self, detector: nn.Module, scene: Scene) -> None:
        super().__init__(detector, 0, scene.size)
        self.scene = scene

    def _boxes(self, feats: tuple[Tensor, ...], metas: list[dict], *args: Any, **kwargs: Any) -> list:
        results = self._predict_bbox(feats, metas, *args, **kwargs)
        objects = self.scene.objects(self.frame)
        for index, result in enumerate(results):
            replacement, device = result.new(), feats[0].device
            replacement.bboxes = torch.tensor([o.box for o in objects], device=device).reshape(-1, 4)
            replacement.scores = torch.tensor([0.9 - 0.05 * (o.number % 9) for o in objects], device=device)
            replacement.labels = torch.tensor([o.label for o in objects], dtype=torch.long, device=device)
            results[index] = replacement
        return results
