"""One HTML page that holds all that it shows: pictures, tables, text; it loads nothing."""

from __future__ import annotations

import base64
import csv
import html
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np

from maskprop.utils.files import replace_when_done
from maskprop.utils.text import escaped

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 1200px; margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.6em; } h2 { font-size: 1.25em; margin-top: 2em; border-bottom: 1px solid #ddd; }
img { max-width: 100%; height: auto; } figure { margin: 1em 0; } figcaption { color: #555; }
div.wide { overflow-x: auto; } table { border-collapse: collapse; margin: 1em 0; }
th, td { padding: .2em .7em; text-align: right; border-bottom: 1px solid #eee; white-space: nowrap; }
th { border-bottom: 2px solid #999; } th.text, td.text { text-align: left; } td.text { white-space: normal; }
"""
PAGE = 'report.html'  # of the folder of a report
MIME = {'.png': 'image/png', '.jpg': 'image/jpeg', '.jpeg': 'image/jpeg'}


class Report:
    """Builds the page from top to bottom; all texts are escaped, line breaks in names too.

    Example:
        report = Report('Results of a.json')
        report.table(['class', 'AP'], [['cat', 31.2]])
        report.picture('curves.png', 'Losses')
        report.write('report.html')
    """

    def __init__(self, title: str) -> None:
        self.title = title
        self._parts = [f'<h1>{_shown(title)}</h1>']

    def heading(self, text: str) -> None:
        """A heading of a part."""
        self._parts.append(f'<h2>{_shown(text)}</h2>')

    def text(self, text: str) -> None:
        """A paragraph."""
        self._parts.append(f'<p>{_shown(text)}</p>')

    def table(self, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """A table; columns that have a text are set left, those of numbers right, None is an empty cell."""
        cells = [['' if value is None else str(value) for value in row] for row in rows]
        texts = [not all(map(_is_number, column)) for column in zip(*cells, strict=True)] or [False] * len(header)
        head = _row('th', header, texts)
        body = ''.join(f'<tr>{_row("td", row, texts)}</tr>\n' for row in cells)
        self._parts.append(f'<div class="wide"><table><tr>{head}</tr>\n{body}</table></div>')

    def picture(self, path: str | Path, caption: str) -> None:
        """A PNG or JPEG file, embedded."""
        self._embed(Path(path).read_bytes(), MIME[Path(path).suffix], caption)

    def photo(self, image_bgr: np.ndarray, caption: str) -> None:
        """A (h, w, 3) uint8 picture, embedded as JPEG, which is a tenth of a PNG."""
        self._embed(cv2.imencode('.jpg', image_bgr)[1].tobytes(), 'image/jpeg', caption)

    def _embed(self, data: bytes, kind: str, caption: str) -> None:
        source = f'data:{kind};base64,{base64.b64encode(data).decode("ascii")}'
        caption = _shown(caption)
        self._parts.append(
            f'<figure><img src="{source}" alt="{caption}"><figcaption>{caption}</figcaption></figure>'
        )

    def write(self, path: str | Path) -> None:
        """Write the page, whole or not at all."""
        page = (
            '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
            f'<title>{_shown(self.title)}</title><style>{STYLE}</style></head>\n<body>\n'
        )
        with replace_when_done(path) as temporary:
            temporary.write_text(page + '\n'.join(self._parts) + '\n</body></html>\n', encoding='utf-8')


def _shown(text: str) -> str:
    return html.escape(escaped(text))


def _row(tag: str, values: Sequence[str], texts: Sequence[bool]) -> str:
    classes = [' class="text"' if text else '' for text in texts]
    return ''.join(f'<{tag}{kind}>{_shown(value)}</{tag}>' for value, kind in zip(values, classes, strict=True))


def _is_number(text: str) -> bool:
    return text in ('', '-') or text.replace('.', '', 1).lstrip('+-').isdigit()


def write_csv(path: str | Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file, whole or not at all; numbers at full precision, None as an empty field."""
    with replace_when_done(path) as temporary, temporary.open('w', newline='', encoding='utf-8') as file:
        writer = csv.writer(file, lineterminator='\n')
        writer.writerow(header)
        writer.writerows(rows)


def percent(value: float | None, sign: bool = False) -> str:
    """A share in percent; '-' where there is nothing to count: None, nan, and -1 but with a ``sign``."""
    if value is None or value != value or (value < 0 and not sign):
        return '-'
    return f'{100 * value:+.1f}' if sign else f'{100 * value:.1f}'
