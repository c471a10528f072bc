"""Two small contexts for tests of the kit alone: ``letters`` announces, ``desk`` and ``archive`` listen."""

from collections.abc import Callable, Iterator
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from microworkflows import DomainEvent, IncomingEvent, microworkflow, registry


@pytest.fixture
def empty_registry() -> Iterator[None]:
    """Hide what the shop declares; what the test declares is forgotten afterwards."""
    with registry.isolated():
        registry.clear()
        yield


@pytest.fixture
def login(client: Client, db: None) -> Callable[..., Client]:
    """Return a function that logs in a member of staff with these permissions and no others."""

    def login(*codenames: str) -> Client:
        user, _ = User.objects.get_or_create(username="clerk", is_staff=True)
        permissions = Permission.objects.filter(codename__in=codenames)
        assert {permission.codename for permission in permissions} == set(codenames)
        user.user_permissions.set(permissions)
        client.force_login(user)
        return client

    return login


@pytest.fixture
def post(empty_registry: None) -> SimpleNamespace:
    """A letter is written, the desk stamps it, the archive files it; ``post.calls`` tells who was called."""

    class LetterWritten(DomainEvent, type="letters.letter_written.v1"):
        letter_id: UUID
        postage: Decimal = Decimal("1.10")

    class WrittenAtDesk(IncomingEvent, type="letters.letter_written.v1"):
        letter_id: UUID

    class LetterStamped(DomainEvent, type="desk.letter_stamped.v1"):
        letter_id: UUID

    class StampedAtArchive(IncomingEvent, type="desk.letter_stamped.v1"):
        letter_id: UUID

    made = SimpleNamespace(calls=[], fail=None, LetterWritten=LetterWritten, LetterStamped=LetterStamped)

    def called(name: str, event: Any) -> None:
        made.calls.append((name, event.letter_id))
        if made.fail is not None:
            raise made.fail

    @microworkflow(on=WrittenAtDesk, emits=[LetterStamped], context="desk")
    def stamp_letter(event: WrittenAtDesk) -> LetterStamped:
        called("stamp_letter", event)
        return LetterStamped(letter_id=event.letter_id)

    @microworkflow(on=StampedAtArchive, context="archive")
    def file_letter(event: StampedAtArchive) -> None:
        called("file_letter", event)

    made.stamp_letter, made.file_letter = stamp_letter, file_letter
    made.WrittenAtDesk, made.StampedAtArchive = WrittenAtDesk, StampedAtArchive
    return made
