"""What a format is: a file of this folder with a ``FORMAT``, which ``finding.py`` lists."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from maskprop.datasets.formats.listed import ListedSet
from maskprop.datasets.formats.source import Source
from maskprop.datasets.formats.tracks import Category, Reading, ReadOptions, VideoFrames


@dataclass(frozen=True)
class Format:
    """A format of annotations.

    Attributes:
        name: of ``--from`` and ``--to``.
        title: in sentences.
        recognise: whether a source is of this format, by names and beginnings of its files.
        read: reads a source; None: it is only written.
        write: writes videos to a file or folder and gives the files' paths; None: it is only read.
        detect: reads results of a tracker or detector on a set as records of a results file: tracks of videos, or
            detections of single frames.
        folder: whether ``write`` makes a folder.
        instead: of what is recognised but not read: why, and what to do.
    """

    name: str
    title: str
    recognise: Callable[[Source], bool] | None = None
    read: Callable[[Source, ReadOptions], Reading] | None = None
    write: Callable[[Path, Iterable[VideoFrames], Sequence[Category]], list[Path]] | None = None
    detect: Callable[[Source, ReadOptions, ListedSet], list[dict]] | None = None
    folder: bool = False
    instead: str = ''
