"""Trust between services: an event is believed by the way it came, not by what it says of itself.

The broker decides by which routing keys a user may publish, and vouches for the property ``user-id``: it refuses a
message that names another user than the one who publishes it. A service that makes queues and exchanges of its own may
choose the routing key all the same, but never the user. The embedded broker has no users: there the key alone counts.
"""

from kombu import Message

from microworkflows import conf, topology
from microworkflows.cloudevents import context_of
from microworkflows.errors import InvalidCloudEventError

PUBLISHER = "microworkflows-publisher"
"""Header of a message that was published once more, as a dead letter or from there: the user who had published it first.

It is believed from the queue's own user alone. Who publishes again must set it, and the property ``user-id``.
"""


def check(message: Message, *, event_type: str, source: str, queue: str) -> None:
    """Refuse an event that came to a queue by another way than its own.

    An event is published with its type as the routing key. A message to be retried, or a dead letter that was requeued,
    comes with the name of its queue. Where ``MICROWORKFLOWS["USERS"]`` names the users of the contexts, the first is
    believed from the user of the announcing context alone, the second from the queue's own.

    Raises:
        InvalidCloudEventError: the routing key is neither, or the user is another.
    """
    key, own_key = message.delivery_info.get("routing_key"), topology.name(queue)
    if key not in {event_type, own_key}:
        raise InvalidCloudEventError(
            f"The routing key is {key!r}. An event is published with its type, {event_type!r}, and brought back with the "
            f"name of its queue, {own_key!r}. Its publisher must use the type; one who may not is not to be believed."
        )
    if not conf.current().users or _is_embedded(message):
        return
    event = f"{event_type} of {source} with the routing key {key}"
    if key == own_key:
        own = _users_of_queue(queue)
        _demand(_user(message), own, event=event)
        _demand(publisher(message, queue=queue), own | _users_of_event(event_type, source), event=event)
    else:
        _demand(_user(message), _users_of_event(event_type, source), event=event)


def publisher(message: Message, *, queue: str) -> str:
    """Return the user who published a message first, whoever has brought it back to its queue since; empty if unknown."""
    user = _user(message)
    return str((message.headers or {}).get(PUBLISHER, user)) if user in _users_of_queue(queue) else user


def _user(message: Message) -> str:
    return str(message.properties.get("user_id") or "")


def _users_of_queue(queue: str) -> set[str]:
    """Return the users who bring messages back to a queue: its own, and those of the contexts that it serves."""
    users = conf.current().users
    return {users[name] for name in (queue, *topology.contexts_served_by(queue)) if name in users}


def _users_of_event(event_type: str, source: str) -> set[str]:
    """Return the user who may announce an event, in a set; nobody may who is unknown or speaks for another context."""
    users = conf.current().users
    announcing = users.get(context_of(event_type))
    named = users.get(source.removeprefix("/"), announcing)
    return {announcing} if announcing is not None and named == announcing else set()


def _demand(user: str, believed: set[str], *, event: str) -> None:
    if user not in believed:
        raise InvalidCloudEventError(
            f"{event} was published by {f'the user {user!r}' if user else 'nobody whom the broker knows'}; "
            f"MICROWORKFLOWS['USERS'] believes {' or '.join(sorted(believed)) or 'nobody'}. If the publisher is right, "
            "correct USERS; else find out what it does."
        )


def _is_embedded(message: Message) -> bool:
    """Return True if the embedded broker delivered the message: it names the queue, AMQP names the consumer."""
    return "queue" in message.delivery_info
