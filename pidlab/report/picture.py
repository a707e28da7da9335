"""A figure inside the page: matplotlib's SVG with ids of its own, or a PNG where that is too large."""

import base64
import re
from pathlib import Path
from xml.etree import ElementTree

from pidlab.errors import InvalidRequest

SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
# A figure of more bytes is shown as the PNG beside it, where there is one.
MOST_BYTES = 1_500_000
# Pixels for a point: on a screen a figure is read from farther than in a paper, where a point is 4/3.
MAGNIFIED = 2.0
# What a figure needs none of: metadata that name other hosts, and anything that runs.
_DROPPED = {f"{{{SVG}}}{name}" for name in ("metadata", "script", "style", "foreignObject", "title")}
_HREFS = ("href", f"{{{XLINK}}}href")

ElementTree.register_namespace("", SVG)
ElementTree.register_namespace("xlink", XLINK)


def inline(path: Path, prefix: str, title: str) -> str:
    """Markup that shows a figure without any other file.

    Args:
        path: its SVG.
        prefix: put before its ids, so that those of several figures stay apart.
        title: what a screen reader says of it.

    Raises:
        InvalidRequest: the file cannot be read, or is no SVG.
    """
    png = path.with_suffix(".png")
    try:
        if path.stat().st_size > MOST_BYTES and png.is_file():
            return _image(png, title)
        root = ElementTree.parse(path).getroot()
    except OSError as error:
        raise InvalidRequest(f"cannot read the figure {path} ({error.strerror})") from None
    except ElementTree.ParseError as error:
        raise InvalidRequest(f"{path} is no SVG ({error}): draw it again") from None
    if root.tag != f"{{{SVG}}}svg":
        raise InvalidRequest(f"{path} is no SVG: draw it again")
    _clean(root, prefix)
    width = root.attrib.pop("width", "").removesuffix("pt")
    root.attrib.pop("height", None)
    if re.fullmatch(r"[\d.]+", width):
        root.set("style", f"width: {float(width) * MAGNIFIED:.0f}px")
    root.set("role", "img")
    root.set("aria-labelledby", f"{prefix}title")
    label = ElementTree.Element(f"{{{SVG}}}title", {"id": f"{prefix}title"})
    label.text = title
    root.insert(0, label)
    return ElementTree.tostring(root, encoding="unicode")


def _clean(element: ElementTree.Element, prefix: str) -> None:
    for child in [child for child in element if child.tag in _DROPPED]:
        element.remove(child)
    for name, value in list(element.attrib.items()):
        if name == "id":
            element.set(name, prefix + value)
        elif name in _HREFS:
            if value.startswith("#"):
                element.set(name, f"#{prefix}{value[1:]}")
            elif not value.startswith("data:image/"):
                del element.attrib[name]
        elif name.lower().startswith("on"):
            del element.attrib[name]
        elif "url(" in value:
            element.set(name, re.sub(r"url\(#", f"url(#{prefix}", value))
    for child in element:
        _clean(child, prefix)


def _image(path: Path, title: str) -> str:
    image = ElementTree.Element("img", {"alt": title})
    image.set("src", "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode())
    return ElementTree.tostring(image, encoding="unicode", method="html")
