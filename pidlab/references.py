"""The grammar of references: `name` or `name(key=value, ...)`; values are literals, never evaluated."""

import ast
import re
from dataclasses import dataclass, field
from typing import Any

from pidlab.errors import InvalidRequest

_FORM = re.compile(r"\s*(?P<name>[^()]+?)\s*(?:\((?P<arguments>.*)\))?\s*", re.DOTALL)


@dataclass(frozen=True)
class Reference:
    """A name with keyword arguments, as a user writes it: `comm(temperature=0.1)`."""

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        inner = ", ".join(f"{key}={value!r}" for key, value in sorted(self.arguments.items()))
        return f"{self.name}({inner})" if inner else self.name


def parse(text: str) -> Reference:
    """Reads a reference.

    Raises:
        InvalidRequest: the text is not of the form `name(key=value, ...)` with literal values.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        raise InvalidRequest(f"cannot read {text!r}: expected a name or name(key=value, ...)")
    arguments = match["arguments"]
    if arguments is None or not arguments.strip():
        return Reference(match["name"])
    try:
        call = ast.parse(f"f({arguments})", mode="eval").body
        if not isinstance(call, ast.Call) or call.args or any(k.arg is None for k in call.keywords):
            raise ValueError
        values = {str(k.arg): ast.literal_eval(k.value) for k in call.keywords}
    except (SyntaxError, ValueError):
        raise InvalidRequest(
            f"cannot read the arguments of {text!r}: expected key=value pairs with plain values, "
            "such as comm(temperature=0.1)"
        ) from None
    return Reference(match["name"], values)
