"""A parsed page of HTML, for tests of what a browser gets."""

from __future__ import annotations

from dataclasses import dataclass
from html.parser import HTMLParser

_VOID = {"br", "img", "input", "link", "meta"}


@dataclass(frozen=True)
class Element:
    """An element with its attributes, the text in it, and the tags around it."""

    tag: str
    attributes: dict[str, str]
    text: str
    inside: tuple[str, ...]


class Page(HTMLParser):
    """The elements of `html`, in the order in which they end. Raise `AssertionError` if tags do not match."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[Element] = []
        self._open: list[tuple[str, dict[str, str], list[str]]] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open an element."""
        self._open.append((tag, {key: value or "" for key, value in attrs}, []))
        if tag in _VOID:
            self.handle_endtag(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open an element and close it: in SVG the slash does that."""
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        """Close the innermost element, which must have this tag."""
        opened, attributes, texts = self._open.pop()
        assert opened == tag, (opened, tag)
        inside = tuple(each[0] for each in self._open)
        # A browser shows most neighbours apart.
        self.handle_data(" ")
        self.elements.append(Element(tag, attributes, " ".join("".join(texts).split()), inside))

    def handle_data(self, data: str) -> None:
        """Add text to all open elements."""
        for _, _, texts in self._open:
            texts.append(data)

    def find(self, tag: str, **attributes: str) -> list[Element]:
        """Return the elements `tag` with `attributes`; `class_` is one of the classes."""
        wanted = {key.rstrip("_"): value for key, value in attributes.items()}
        return [each for each in self.elements if each.tag == tag and _has(each, wanted)]

    def text_of(self, tag: str, **attributes: str) -> str:
        """Return the text of the first such element; empty if there is none."""
        return next((each.text for each in self.find(tag, **attributes)), "")


def _has(element: Element, wanted: dict[str, str]) -> bool:
    return all(
        value in element.attributes.get(key, "").split()
        if key == "class"
        else element.attributes.get(key) == value
        for key, value in wanted.items()
    )
