"""Which classes of an OpenImages image are known: present and boxed as a whole, or verified absent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from maskprop.datasets.stills.class_map import ClassMap


class Verification:
    """Judges the target's classes in one image.

    OpenImages' annotators boxed all objects of the labels that were verified present in an image, at the most
    specific label, and nothing else. So a label with a box is known. One without is known only if it, the
    general class of its target (Car of Taxi) or a class above that was verified absent: a label that is present
    without a box was passed over, as body parts are in most images, or as cars are beside a boxed limousine.

    Args:
        class_map: from MIDs.
        ancestors: MID -> MIDs above it; may be empty.
        unmapped_unknown: whether target classes without a counterpart are unknown in every image.
    """

    def __init__(
        self, class_map: ClassMap, ancestors: Mapping[str, Iterable[str]], unmapped_unknown: bool
    ) -> None:
        ids = class_map.category_ids
        self.wanted: list[str] = []
        bit_of: dict[str, int] = {}
        self._mids: dict[int, list[str]] = {}
        self._implied: dict[str, int] = {}  # MID -> bits, of which any says that it is absent
        for name, number in ids.items():
            mids = [str(entry.key) for entry in class_map.sources_of(name)]
            self._mids[number] = mids
            for mid in mids:
                bits = 0
                for one in {mid, mids[0], *ancestors.get(mids[0], ())}:
                    if one not in bit_of:
                        bit_of[one] = 1 << len(self.wanted)
                        self.wanted.append(one)
                    bits |= bit_of[one]
                self._implied[mid] = bits
        self._maybe = {str(entry.key): {ids[name] for name in entry.maybe} for entry in class_map.classes.values()}
        self._unmapped_unknown = unmapped_unknown

    def judge(self, boxed: set[str], absent: int) -> tuple[list[int], bool]:
        """The unknown classes of an image.

        Args:
            boxed: MIDs with a box. absent: bits of the MIDs of ``wanted`` that were verified absent.

        Returns:
            ids of the target's classes that may show unboxed, but for those with a box; and whether the classes
            with a box are known as a whole (not so where a Man is boxed and nothing is said of women).
        """
        unknown, whole = set[int](), True
        for number, mids in self._mids.items():
            shown = any(mid in boxed for mid in mids)
            general = bool(mids) and mids[0] in boxed
            known = general or all(mid in boxed or absent & self._implied[mid] for mid in mids)
            if shown:
                whole &= known
            elif not known or (not mids and self._unmapped_unknown):
                unknown.add(number)
        for mid in boxed:
            unknown.update(number for number in self._maybe[mid] if not self._mids[number])
        return sorted(unknown), whole
