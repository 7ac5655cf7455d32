"""Results files and submission zips of YouTube-VIS: written as a stream, and whole or not at all."""

from __future__ import annotations

import contextlib
import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from maskprop.utils.files import name_in_errors, replace_when_done
from maskprop.utils.json_values import parse_json

from .progress import announce_reading
from .validation import EvalInputError, fail, load_json

MAX_UNPACKED = 8 * 2**30  # bytes of a results.json in a zip: one of more is a mistake, or an attack


def _plain(value: Any) -> Any:
    """What ``json`` cannot write: RLE counts as pycocotools gives them, NumPy numbers and arrays."""
    if isinstance(value, bytes):
        return value.decode('ascii')
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    raise TypeError(f'results hold a {type(value).__name__}, which JSON cannot: {value!r}')


class ResultsWriter:
    """Writes a results file result by result; the file appears when the ``with`` block ends without an error.

    Example:
        with ResultsWriter('results.json') as writer:
            for video in videos:
                writer.add(results_of(video))
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.count = 0

    def __enter__(self) -> ResultsWriter:
        with contextlib.ExitStack() as stack:
            temporary = stack.enter_context(replace_when_done(self.path))
            self._file = stack.enter_context(temporary.open('w', encoding='utf-8'))
            self._file.write('[')
            self._stack = stack.pop_all()
        return self

    def add(self, results: Iterable[dict]) -> None:
        """Append result records: {``video_id``, ``category_id``, ``score``, ``segmentations``}."""
        for result in results:
            self._file.write(',\n' if self.count else '\n')
            # not json.dump, which encodes in Python
            self._file.write(json.dumps(result, default=_plain, separators=(',', ':')))
            self.count += 1

    def __exit__(self, *error: Any) -> None:
        if error[0] is None:
            self._file.write('\n]\n')
        self._stack.__exit__(*error)


def name_categories(results: Iterable[dict], names: Mapping[int, str]) -> Iterator[dict]:
    """Result records with ``category_name``, which the YouTube-VIS server ignores as it does ``track_id``.

    Args:
        results: records; left as they are.
        names: name of each category id.
    """
    for result in results:
        yield {**result, 'category_name': names[result['category_id']]}


def write_results(path: str | Path, results: Iterable[dict]) -> int:
    """Write results.json; ``results`` may be a generator. Returns how many they were."""
    with ResultsWriter(path) as writer:
        writer.add(results)
    return writer.count


def write_submission(path: str | Path, results: str | Path | Iterable[dict]) -> None:
    """Write the zip that the YouTube-VIS server takes: results.json at its root.

    Args:
        path: Of the zip. results: Path of a results file, or the results themselves.
    """
    plain = Path(path).with_name(f'.{Path(path).name}.results.json')
    with name_in_errors(path, plain), replace_when_done(path) as temporary:
        source: contextlib.AbstractContextManager[Path]
        if isinstance(results, (str, Path)):
            source = contextlib.nullcontext(Path(results))
        else:
            source = _written(results, plain)
        with source as file, zipfile.ZipFile(temporary, 'w', zipfile.ZIP_DEFLATED) as archive:
            archive.write(file, 'results.json')


@contextlib.contextmanager
def _written(results: Iterable[dict], path: Path) -> Iterator[Path]:
    try:
        write_results(path, results)
        yield path
    finally:
        path.unlink(missing_ok=True)


def read_results(path: str | Path) -> list[dict]:
    """Read results.json, or the submission zip that holds it at its root.

    Raises:
        EvalInputError: If the file is missing, isn't JSON, or the zip can't be unpacked or lacks results.json.
    """
    path = Path(path)
    if not path.is_file() or not zipfile.is_zipfile(path):
        return load_json(path)
    announce_reading(path)
    try:
        with zipfile.ZipFile(path) as archive:
            with archive.open(_results_member(archive, path)) as file:
                return parse_json(file)
    except EvalInputError:
        raise
    except ValueError as error:
        raise EvalInputError(f'{path}: results.json: not valid JSON ({error}).') from None
    except Exception as error:  # a password, another method, and what a damaged archive raises is anything
        raise EvalInputError(f'{path}: results.json: cannot be unpacked ({error}). Zip it again.') from None


def _results_member(archive: zipfile.ZipFile, path: Path) -> zipfile.ZipInfo:
    """The one results.json of a submission."""
    found = [info for info in archive.infolist() if info.filename == 'results.json']
    if not found:
        names = archive.namelist()[:5]
        fix = 'Zip the file itself, without its folder'
        fail(str(path), '', '', f'holds {names}, but no results.json at its root', fix)
    if len(found) > 1:
        fail(str(path), '', '', f'holds {len(found)} files results.json', 'Which one is meant? Zip that alone')
    if found[0].file_size > MAX_UNPACKED:
        size = f'{found[0].file_size / 2**30:.1f} GiB when unpacked, of {MAX_UNPACKED / 2**30:.0f} at most'
        fail(
            str(path), 'results.json', '', f'has {size}', 'Unpack it yourself, and give the .json, if it is meant'
        )
    return found[0]
