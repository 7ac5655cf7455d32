"""Sphinx's roles in docstrings, such as :class:`~maskprop.apis.VideoSession`, become links of the site."""

from __future__ import annotations

import re

import griffe

ROLE = re.compile(r':(?:\w+:)?\w+:`(~?)([\w.]+)(?:\(\))?`')


class Roles(griffe.Extension):
    def on_object(self, *, obj: griffe.Object, **_) -> None:
        if obj.docstring is not None:
            obj.docstring.value = ROLE.sub(_link, obj.docstring.value)


def _link(found: re.Match) -> str:
    short, name = found.groups()
    shown = name.rsplit('.', 1)[-1] if short else name
    # optional: plain text where the name has no place on the site, as those of mmengine
    return f'<autoref identifier="{name}" optional><code>{shown}</code></autoref>'
