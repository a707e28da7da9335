"""An extension of griffe that shows `Example:` sections as code."""

import re
from typing import Any

import griffe


class ExampleSections(griffe.Extension):
    """Renames the section, which griffe knows as `Examples:` only."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Rename the section in the docstring of an object."""
        if obj.docstring:
            obj.docstring.value = re.sub(r"^( *)Example:$", r"\1Examples:", obj.docstring.value, flags=re.M)
