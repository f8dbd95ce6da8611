"""SVG and HTML elements as `Markup`. What is not `Markup` is escaped."""

from __future__ import annotations

from functools import cache

from markupsafe import Markup, escape


def element(tag: str, *content: str, **attributes: object) -> Markup:
    """Return the element `tag` with `content` and `attributes`.

    The attribute `class_` stands for `class`, and `aria_hidden` for `aria-hidden`.
    """
    # Joined as text: the methods of `Markup` take several times as long, and a page has thousands of elements.
    written = "".join(f' {_name(name)}="{_value(value)}"' for name, value in attributes.items())
    inside = "".join(map(escape, content))
    return Markup(f"<{tag}{written}>{inside}</{tag}>")  # noqa: S704 - each part is escaped


@cache
def _name(keyword: str) -> str:
    return keyword.rstrip("_").replace("_", "-")


def _value(value: object) -> str:
    return decimal(value) if isinstance(value, float) else escape(value)


def decimal(value: float) -> str:
    """Return a length or coordinate, rounded to a tenth of a pixel."""
    # Adding 0 turns a negative zero into zero.
    return f"{round(value, 1) + 0:.1f}".removesuffix(".0")
