"""Figures of the report page as markup that needs no other file."""

import base64
import re
from pathlib import Path
from xml.etree import ElementTree

from pidlab.errors import InvalidRequest

SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
# A larger SVG is replaced by the PNG of the same name, if there is one.
MOST_BYTES = 1_500_000
# A path of more lines is a curve, such as a loss.
MANY_POINTS = 50
# CSS pixels per point: a screen is read from a larger distance than paper, where a point is 4/3 pixels.
MAGNIFIED = 3.2
# Elements that a figure does not need: metadata that name other hosts, and everything that can run.
_REMOVED = {f"{{{SVG}}}{name}" for name in ("metadata", "script", "style", "foreignObject", "title")}
_COORDINATES = {"d", "x", "y", "transform", "width", "height"}
_CONTAINERS = {f"{{{SVG}}}{name}" for name in ("svg", "g", "defs", "clipPath")}
_HREFS = ("href", f"{{{XLINK}}}href")

ElementTree.register_namespace("", SVG)
ElementTree.register_namespace("xlink", XLINK)


def inline(path: Path, prefix: str, title: str) -> str:
    """Return markup that shows a figure without any other file.

    Args:
        path: SVG file.
        prefix: Prefix of all ids, which keeps the ids of several figures apart.
        title: Text for screen readers.

    Raises:
        InvalidRequest: If the file cannot be read, or is not an SVG file.
    """
    png = path.with_suffix(".png")
    try:
        if path.stat().st_size > MOST_BYTES and png.is_file():
            return _embed_image(png, title)
        root = ElementTree.parse(path).getroot()
    except OSError as error:
        raise InvalidRequest(f"{path}: cannot be read ({error.strerror}); draw the figure again") from None
    except ElementTree.ParseError as error:
        raise InvalidRequest(f"{path}: not an SVG file ({error}); draw the figure again") from None
    if root.tag != f"{{{SVG}}}svg":
        raise InvalidRequest(f"{path}: not an SVG file; draw the figure again")
    _clean(root, prefix)
    _shrink(root, prefix)
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
    """Remove everything that runs or loads other files, and prefix all ids."""
    for child in [child for child in element if child.tag in _REMOVED]:
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


def _shrink(root: ElementTree.Element, prefix: str) -> None:
    """Shorten a figure: short ids, rounded coordinates, no indentation, one style for equal children."""
    text = ElementTree.tostring(root, encoding="unicode")
    used = dict.fromkeys(re.findall(rf"#({re.escape(prefix)}[^\")]+)", text))
    short = {name: f"{prefix}{i}" for i, name in enumerate(used)}
    for element in root.iter():
        for name, value in list(element.attrib.items()):
            if name == "id":
                if value in short:
                    element.set(name, short[value])
                else:
                    del element.attrib[name]
            elif name in _COORDINATES:
                element.set(name, _round(" ".join(value.split())))
            elif name in _HREFS:
                element.set(name, f"#{short[value[1:]]}" if value[1:] in short else value)
            else:
                element.set(name, re.sub(r"#([^\")]+)\)", lambda m: f"#{short.get(m[1], m[1])})", value))
        if element.tag in _CONTAINERS:
            element.text = None
            for child in element:
                child.tail = None
        styles = {child.get("style") for child in element}
        if (
            element.tag == f"{{{SVG}}}g"
            and len(element) > 1
            and len(styles) == 1
            and not element.get("style")
        ):
            (style,) = styles
            if style:
                element.set("style", style)
                for child in element:
                    del child.attrib["style"]


def _round(coordinates: str) -> str:
    """Round coordinates to a hundredth of a point, and those of a curve of many points to a tenth."""
    if coordinates.count(" L ") > MANY_POINTS and not re.search("[A-KN-Za-z]", coordinates):
        # After "M x y", further pairs of coordinates are the ends of lines.
        return re.sub(r"(\.\d)\d+", r"\1", coordinates.replace(" L ", " "))
    return re.sub(r"(\.\d\d)\d+", r"\1", coordinates)


def _embed_image(path: Path, title: str) -> str:
    image = ElementTree.Element("img", {"alt": title})
    image.set("src", "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode())
    return ElementTree.tostring(image, encoding="unicode", method="html")
