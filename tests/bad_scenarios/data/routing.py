"""A routing rule, for the files beside it."""


def choose(facts: dict[str, float]) -> str | None:
    """Stay."""
    return None
