"""What the checks say of a picture is what the training's reader makes of it."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import mmcv
import numpy as np
import pytest
from PIL import Image

from maskprop.datasets.image_folders import image_size, is_whole_image, largest_of_16_bits


def exif(value: int | bytes, order: bytes = b'II') -> bytes:
    """EXIF data whose orientation is a number or, against the standard, a text."""
    kind, payload = (3, struct.pack('<Hxx', value)) if isinstance(value, int) else (2, value)
    entry = struct.pack('<HHI', 0x0112, kind, 1 if kind == 3 else 4) + payload
    return b'Exif\0\0' + order + struct.pack('<HI', 42, 8) + struct.pack('<H', 1) + entry + bytes(4)


EXIF = {'none': b'', 'text': exif(b'abc\0'), 'damaged': exif(6, b'XX')} | {str(i): exif(i) for i in range(10)}


def save(path: Path, data: bytes) -> Path:
    Image.effect_noise((96, 64), 50).convert('RGB').save(path, **(dict(exif=data) if data else {}))
    return path


@pytest.mark.parametrize('suffix', ['jpg', 'png', 'webp'])
@pytest.mark.parametrize('name', EXIF)
def test_sizes_are_those_of_the_training_reader(tmp_path, suffix, name):
    path = save(tmp_path / f'a.{suffix}', EXIF[name])
    read = mmcv.imfrombytes(path.read_bytes())
    assert image_size(path) == (None if read is None else read.shape[1::-1])
    assert is_whole_image(path) == (read is not None)


def test_sizes_of_turned_tiff(tmp_path):
    path = tmp_path / 'a.tif'
    Image.new('RGB', (96, 64)).save(path, tiffinfo={0x0112: 6})
    assert image_size(path) == mmcv.imfrombytes(path.read_bytes()).shape[1::-1]


def test_a_header_of_too_many_pixels_is_no_image(tmp_path):
    header = struct.pack('>IIBBBBB', 50_000, 50_000, 8, 2, 0, 0, 0)
    path = tmp_path / 'bomb.png'
    path.write_bytes(
        b'\x89PNG\r\n\x1a\n'
        + b''.join(
            struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))
            for kind, data in ((b'IHDR', header), (b'IDAT', zlib.compress(b'')), (b'IEND', b''))
        )
    )
    assert image_size(path) is None and not is_whole_image(path)


def test_largest_value_of_16_bits(tmp_path):
    pixels = np.full((4, 5), 1020, np.uint16)
    cv2.imwrite(str(tmp_path / '16.png'), pixels)
    cv2.imwrite(str(tmp_path / '8.png'), pixels.astype(np.uint8))
    assert largest_of_16_bits(tmp_path / '16.png') == 1020
    assert largest_of_16_bits(tmp_path / '8.png') is None
    assert largest_of_16_bits(tmp_path / 'none.png') is None
