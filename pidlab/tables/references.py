"""Objectives that are no contestants: the floor and the ceiling."""

FLOOR, CEILING = "untrained", "supervised"


def base(objective: str) -> str:
    """The name of an objective without its arguments."""
    return objective.partition("(")[0].strip()


def is_reference(objective: str) -> bool:
    """Whether it is a floor or a ceiling."""
    return base(objective) in (FLOOR, CEILING)
