"""One fixed colour per track id."""

from __future__ import annotations

# Each the farthest by CIEDE2000 from those before it, of the vivid colours that show on a photograph (CIELAB
# lightness 40 to 94, chroma 35 or more): of the ids 1 to 30 any two differ by 14 or more, of all by 9 or more.
# tests/visualization/test_palette.py makes and measures them anew.
_COLOURS = (
    'ff8000 2a40ff 00ff55 00d4ff ffbfff 556a00 bf1540 d4bf00 009580 ea15d4 8095d4 955500 ff8080 95ffea '
    '6aaa15 ff0000 805595 006aaa 958040 d4ea95 ffbf95 0095bf d480aa 40bf80 bf80ff bf0080 d49500 ff1580 '
    '158040 bf6a40 00bfbf 80bfff aa00ff 806ad4 bfff00 bfaa6a ffd480 bf1500 bf6a6a 0095ff ff80ea 95eaaa '
    'bfaaea ff8055 959500 2a6aff 6a9555 5555aa aa6aaa 80d415 d4956a ff2a55 009500 95bf80 bf5580 eaea55 '
    'aa00aa aabf15 15eaea bf6a00 ffaa95 ffbf00 00eabf 9580bf'
)
PALETTE = tuple((*bytes.fromhex(colour)[::-1],) for colour in _COLOURS.split())  # BGR


def track_color(track_id: int) -> tuple[int, int, int]:
    """BGR colour (0..255) of a track id, the same in every frame; repeats after ``len(PALETTE)`` ids."""
    return PALETTE[int(track_id) % len(PALETTE)]
