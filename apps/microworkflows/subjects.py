"""The subject of a flow: the object that it is about, by kind and key, and the name by which people look for it."""

import re
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from django.db.models import Model

from microworkflows import bounds
from microworkflows.errors import InvalidCloudEventError, InvalidSubjectError

LONGEST_KIND: Final = 100
LONGEST_KEY: Final = 150
"""Kind, colon and key together are a correlation id of at most 255 characters."""
LONGEST_NAME: Final = 100

_KIND = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*")


@dataclass(frozen=True, init=False)
class Subject:
    """The object that a flow is about.

    Args:
        kind: Kind of the object, such as ``orders.order``: at most 100 lower-case letters, digits, ``_``, ``-``, and dots
            between them.
        key: Key of the object among those of its kind, at most 150 characters; taken as text.
        name: Name for people, such as ``A-000123``; empty if it has none. White space becomes single spaces, and what is
            longer than 100 characters is cut: a name is shown and searched, and no flow fails because of it.

    Raises:
        InvalidSubjectError: kind or key is empty or too long, or one of the three holds what it must not.
    """

    kind: str
    key: str
    name: str

    def __init__(self, *, kind: str, key: object, name: str = "") -> None:
        for attribute, value in (("kind", _kind(kind)), ("key", key_text(key)), ("name", _name(name))):
            object.__setattr__(self, attribute, value)  # the instance is frozen

    def __str__(self) -> str:
        """Return kind and key, which identify the object; also the id of its flow, unless another is given."""
        return f"{self.kind}:{self.key}"

    @property
    def title(self) -> str:
        """The name for people; kind and key if it has none."""
        return self.name or str(self)

    def is_meant_by(self, term: str) -> bool:
        """Return True if this is the name, in upper or lower case, the key, or kind and key."""
        return term in (self.key, str(self)) or term.casefold() == self.name.casefold() != ""


class HasSubject(Protocol):
    """An object that says how flows about it are called."""

    def flow_subject(self) -> Subject:
        """Return the subject of the flows about this object."""
        ...


About: TypeAlias = Subject | HasSubject | Model
"""What ``about=`` takes."""


def of(about: About) -> Subject:
    """Return the subject of flows about an object: what its method ``flow_subject`` says, else model and primary key.

    A name is never guessed: the text of a model instance may hold personal data, and a name goes to other services.

    Raises:
        InvalidSubjectError: it is no such object, it has no primary key yet, or kind, key or name break the bounds.
    """
    if isinstance(about, Subject):
        return about
    if callable(declared := getattr(about, "flow_subject", None)):
        subject = declared()
        if not isinstance(subject, Subject):
            raise InvalidSubjectError(
                f"{type(about).__qualname__}.flow_subject() returned {bounds.shown(subject)}; it must return a Subject."
            )
        return subject
    if isinstance(about, Model):
        model = about._meta.concrete_model or type(about)
        return Subject(kind=model._meta.label_lower.lower(), key=about.pk)
    raise InvalidSubjectError(
        f"it is {bounds.shown(about)}. Pass a model instance, an object with a method flow_subject(), or a "
        "Subject(kind=…, key=…, name=…)."
    )


def key_text(key: object) -> str:
    """Return a key of the business as text.

    Raises:
        InvalidSubjectError: it is no key, or too long, or holds what no attribute of an event may hold.
    """
    text = str(key)
    if key is None or isinstance(key, Model) or not text or text != text.strip():
        raise InvalidSubjectError(
            f"key is {bounds.shown(key)}. Pass a key, such as the order's number or its pk, once it is known (an object "
            "that was not saved may have none)."
        )
    return _within("key", text, longest=LONGEST_KEY)


def _kind(kind: object) -> str:
    if not isinstance(kind, str) or len(kind) > LONGEST_KIND or not _KIND.fullmatch(kind):
        raise InvalidSubjectError(
            f"kind is {bounds.shown(kind)}. Write at most {LONGEST_KIND} lower-case letters, digits, _ and -, with dots "
            'between them, such as "orders.order"; a model gives its own in flow_subject().'
        )
    return kind


def _name(name: object) -> str:
    if not isinstance(name, str):
        raise InvalidSubjectError(f"name is {type(name).__name__}; it is a text, such as A-000123.")
    text = " ".join(name.split())
    return _within("name", text if len(text) <= LONGEST_NAME else f"{text[: LONGEST_NAME - 1].rstrip()}…")


def _within(what: str, text: str, *, longest: int = bounds.LONGEST_ATTRIBUTE) -> str:
    if len(text) > longest:
        raise InvalidSubjectError(f"{what} has {len(text):,} characters; at most {longest:,} are allowed.")
    try:
        bounds.check_text(what, text)
    except InvalidCloudEventError as error:
        raise InvalidSubjectError(str(error)) from None
    return text
