"""The style sheet of the charts: it has every class, and enough contrast in light and dark (WCAG 2.2, 1.4.3 and 1.4.11)."""

from __future__ import annotations

import re
from importlib import resources

import pytest

from tests.unit.web.charts.test_figures import every_element

CSS = (resources.files("sslctl.web") / "static" / "charts.css").read_text()
LIGHT, DARK = (dict(re.findall(r"--(chart-[\w-]+): (#\w{6});", scheme)) for scheme in CSS.split("@media")[:2])


def luminance(colour: str) -> float:
    """Return the relative luminance of `#rrggbb` (WCAG 2.2)."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    dark, light = sorted(map(luminance, (one, other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_colours_have_enough_contrast_to_the_ground(colours: dict[str, str]) -> None:
    ground = colours["chart-ground"]
    least = dict.fromkeys(colours, 3.0) | {"chart-text": 4.5, "chart-muted": 4.5}
    # The grid only guides the eye.
    del least["chart-ground"], least["chart-grid"]
    assert len(least) == 14
    assert {name for name, ratio in least.items() if contrast(colours[name], ground) < ratio} == set()


def test_both_schemes_define_the_same_colours() -> None:
    assert set(LIGHT) == set(DARK)


def test_each_class_of_the_charts_is_styled() -> None:
    used = {name for each in every_element() for name in each.get("class", "").split()}
    assert len(used) > 20
    assert used <= set(re.findall(r"\.(chart[\w-]*)", CSS)) | {"chart-wide", "chart-narrow"}
