"""Which classes of a still-image set become which classes of a video set: ``maps/*.json`` and a user's own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from maskprop.datasets.ytvis_json import AnnotationError, Category, read_json

USES = ('take', 'ignore', 'leave_out')
BUILT_IN = ('ytvis2019', 'ytvis2021')
SOURCES = ('coco', 'openimages')
_MAPS = Path(__file__).parent / 'maps'


@dataclass(frozen=True)
class SourceClass:
    """A class of the still-image set.

    Attributes:
        key: its id there: COCO's category id, or OpenImages' MID ('/m/01yrx').
        name: its name there.
        to: name of the target's class; None: it has none.
        use: 'take', 'ignore' (a region of no loss: iscrowd) or 'leave_out' (background).
        maybe: target classes that such an object may be, so that an image with one says nothing of them.
    """

    key: int | str
    name: str
    to: str | None
    use: str = 'take'
    maybe: tuple[str, ...] = ()

    @property
    def target(self) -> str:
        """``to`` of a class that is not left out."""
        assert self.to is not None, self
        return self.to


@dataclass(frozen=True)
class ClassMap:
    """A map to the classes of a target.

    Attributes:
        source: 'coco' or 'openimages'.
        categories: of the target, in the order of its file.
        classes: by key. Those of one target class are in the map's order: the first is the general one (Car before
            Taxi), whose absence is that of all.
        notes: what was decided while reading it, for the report.
    """

    source: str
    categories: tuple[Category, ...]
    classes: Mapping[int | str, SourceClass]
    notes: tuple[str, ...] = ()

    @property
    def category_ids(self) -> dict[str, int]:
        """Category id by name."""
        return {category['name']: category['id'] for category in self.categories}

    def sources_of(self, name: str) -> list[SourceClass]:
        """The source's classes that become a target class, or regions to be ignored of it."""
        return [c for c in self.classes.values() if c.to == name and c.use != 'leave_out']

    def with_uses(self, uses: Mapping[str, str]) -> ClassMap:
        """The map with other ``use`` for some classes, given by name or key.

        Raises:
            AnnotationError: there is no such class or use; 'take' or 'ignore' of a class that has no target.
        """
        classes = dict(self.classes)
        for given, use in uses.items():
            found = [c for c in classes.values() if given in (c.name, str(c.key))]
            if not found or use not in USES:
                raise AnnotationError(
                    f'--use {given}={use}: expected NAME=USE with a class of the map '
                    f'({", ".join(c.name for c in classes.values())}) and one of {", ".join(USES)}'
                )
            for entry in found:
                if use != 'leave_out' and entry.to is None:
                    raise AnnotationError(f'--use {given}={use}: it has no target; write a map with "to"')
                classes[entry.key] = replace(entry, use=use)
        return replace(self, classes=classes)


def load_class_map(source: str, target: str, own_map: str | Path | None = None) -> ClassMap:
    """The map of a source to a target.

    Args:
        source: 'coco' or 'openimages'.
        target: 'ytvis2019', 'ytvis2021', or an annotation file whose categories are taken, with their ids.
        own_map: a map in the format of docs/stills.md; None: the built-in one, for a file the one that has most of
            its classes.

    Raises:
        AnnotationError: a file can't be read; the map has a wrong field, is for another source, or has no class of
            the target.
    """
    categories = None if target in BUILT_IN else _categories_of_file(target)
    if own_map is not None:
        path = Path(own_map)
    elif categories is None:
        path = _built_in(source, target)
    else:
        names = {category['name'] for category in categories}
        paths = [_built_in(source, name) for name in BUILT_IN]
        path = max(paths, key=lambda p: len(names & {c['name'] for c in read_json(p)['categories']}))
    data = read_json(path)
    _check(data, path, source)
    if categories is None:
        categories = data['categories'] if own_map is None else read_json(_built_in(source, target))['categories']
    names = {category['name'] for category in categories}
    entries = [_read_entry(record, f'{path}: classes[{i}]', names) for i, record in enumerate(data['classes'])]
    kept = [entry for entry in entries if entry.to is None or entry.to in names]
    if not any(entry.to for entry in kept):
        raise AnnotationError(
            f'{path}: classes: none becomes a class of {target}, which has {", ".join(sorted(names)[:5])}; write '
            'a map for it and give it by --map'
        )
    keys = [entry.key for entry in kept]
    doubled = next((key for key in keys if keys.count(key) > 1), None)
    if doubled is not None:
        raise AnnotationError(f'{path}: classes: {doubled!r} twice; expected one entry for a class of the source')
    notes = [f'class map: {path.name}']
    if left := sorted({e.to for e in entries if e.to is not None and e.to not in names}):
        notes.append(f'not in the target, so left out: {", ".join(left)}')
    return ClassMap(source, tuple(categories), {entry.key: entry for entry in kept}, tuple(notes))


def read_hierarchy(path: str | Path) -> dict[str, set[str]]:
    """OpenImages' class tree: MID -> MIDs of its ancestors (a class may have several parents).

    Raises:
        AnnotationError: it is no tree of LabelName and Subcategory.
    """
    ancestors: dict[str, set[str]] = {}

    def walk(node: Any, above: tuple[str, ...]) -> None:
        name = node.get('LabelName') if isinstance(node, dict) else None
        if not isinstance(name, str):
            raise AnnotationError(f'{path}: a node without LabelName; expected bbox_labels_600_hierarchy.json')
        ancestors.setdefault(name, set()).update(above)
        for child in node.get('Subcategory', ()):  # parts (a car's tire) are other objects
            walk(child, (*above, name))
        for part in node.get('Part', ()):
            walk(part, ())

    walk(read_json(path), ())
    return ancestors


def unmapped_children(class_map: ClassMap, ancestors: Mapping[str, Iterable[str]]) -> dict[str, str]:
    """Classes below a class that is taken, of which the map says nothing: MID -> name of the mapped class."""
    taken = {key: entry.name for key, entry in class_map.classes.items() if entry.use != 'leave_out'}
    children = {}
    for mid, above in ancestors.items():
        parents = sorted(taken[a] for a in above if a in taken)
        if parents and mid not in class_map.classes:
            children[mid] = parents[0]
    return children


def _built_in(source: str, target: str) -> Path:
    return _MAPS / f'{source}_to_{target}.json'


def _categories_of_file(path: str) -> list[Category]:
    data = read_json(path)
    categories = data.get('categories') if isinstance(data, dict) else None
    if not isinstance(categories, list) or not categories:
        raise AnnotationError(f'{path}: categories: none; expected an annotation file, or {" or ".join(BUILT_IN)}')
    for place, record in enumerate(categories):
        sound = isinstance(record, dict) and isinstance(record.get('name'), str)
        if not sound or not isinstance(record.get('id'), int):
            raise AnnotationError(f'{path}: categories[{place}]: found {record!r}; expected {{"id", "name"}}')
    return [dict(id=record['id'], name=record['name']) for record in categories]


def _check(data: Any, path: Path, source: str) -> None:
    if not isinstance(data, dict) or not isinstance(data.get('classes'), list):
        raise AnnotationError(f'{path}: classes: missing; expected {{"source", "classes"}}, see docs/stills.md')
    if data.get('source') != source:
        raise AnnotationError(f'{path}: source: found {data.get("source")!r}; expected {source!r}, what is read')


def _read_entry(record: Any, where: str, names: Sequence[str] | set[str]) -> SourceClass:
    if not isinstance(record, dict):
        raise AnnotationError(f'{where}: found {record!r}; expected {{"from", "name", "to", "use"}}')
    key, use, to = record.get('from'), record.get('use', 'take'), record.get('to')
    if isinstance(key, bool) or not isinstance(key, int | str):
        raise AnnotationError(f'{where}, from: found {key!r}; expected an id of COCO or a MID of OpenImages')
    if use not in USES:
        raise AnnotationError(f'{where}, use: found {use!r}; expected one of {", ".join(USES)}')
    if use != 'leave_out' and not isinstance(to, str):
        raise AnnotationError(f'{where}, to: found {to!r}; expected the name of a class of the target')
    maybe = tuple(name for name in record.get('maybe', ()) if name in names)
    return SourceClass(key, str(record.get('name', key)), to, use, maybe)
