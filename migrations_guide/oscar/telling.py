"""What the walk says: one line a fact, with the figures that the page shows."""


def stage(title: str) -> None:
    """Begin a stage."""
    print(f"\n{title}\n{'─' * len(title)}", flush=True)


def tell(what: str, *lines: object) -> None:
    """Say one fact; what has several lines is indented."""
    for number, line in enumerate(lines):
        print(f"  {'' if number else what:<12}{line}", flush=True)


class WalkError(Exception):
    """Something was not as the case study says; the message tells what was found."""


def expect(true: object, why: str) -> None:
    """Stop the walk where something is not as the page says.

    Raises:
        WalkError: with the reason.
    """
    if not true:
        raise WalkError(why)
