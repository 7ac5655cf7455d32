"""Which frame the images of a COCO annotation file are."""

from __future__ import annotations

from pathlib import Path

from maskprop.datasets.listed_frames import FramePlace, ListedFrames, find_by_path
from maskprop.datasets.ytvis_json import read_json
from maskprop.evaluation.validation import fail, require, require_dict, require_id, shown


def image_places(file: str | Path, frames: ListedFrames) -> dict[int, list[FramePlace]]:
    """The frames that each image of a COCO annotation file is, by its id.

    An image is a frame if the frame's file name is the image's ``file_name`` or the end of it.

    Raises:
        AnnotationError: the file cannot be read.
        EvalInputError: it has no ``images``, an id twice, two images of one frame, or no image is a frame.
    """
    source, data = str(file), read_json(file)
    images = data.get('images') if isinstance(data, dict) else None
    if not isinstance(images, list):
        fail(source, '', 'images', 'no list of images', 'image_ids is a COCO annotation file, or "order"')
    named = frames.by_file_name()
    places: dict[int, list[FramePlace]] = {}
    owner: dict[FramePlace, int] = {}
    for number, image in enumerate(images):
        name = f'images[{number}]'
        require_dict(image, source, name)
        image_id = require_id(image, 'id', source, name)
        path = require(image, 'file_name', source, name, 'the path of the image')
        if image_id in places:
            fail(source, name, 'id', f'a second image {image_id}', 'Give each image its own id')
        places[image_id] = (find_by_path(named, path) or []) if isinstance(path, str) else []
        for place in places[image_id]:
            if place in owner:
                found = f'{shown(path)} is the frame that image {owner[place]} is already'
                fail(source, name, 'file_name', found, 'Name images by the file names of the annotation file')
            owner[place] = image_id
    if not owner:
        found = f'no image is a frame of {frames.ann_file}: {shown([i["file_name"] for i in images[:3]])}'
        fail(source, '', 'images', found, f'File names must end as there, such as {shown(next(iter(named)))}')
    return places
