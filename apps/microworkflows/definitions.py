"""Definitions for RabbitMQ to import: what the contexts share at the broker, and a user for each with the least rights.

An administrator imports them, and again after each change of a subscription. So no context has to declare, and none may
delete, what all share: RabbitMQ grants both by one right.
"""

import json
import re
from collections.abc import Sequence
from typing import Any

from kombu import Exchange, Queue

from microworkflows import conf, flows, topology

Definitions = dict[str, list[dict[str, Any]]]


def definitions(*, vhost: str) -> Definitions:
    """Return a virtual host, the exchange, queues and bindings of all installed contexts, and what their users may do.

    A user is called as ``MICROWORKFLOWS["USERS"]`` says, else like its context. The users themselves, who have passwords,
    are left out.
    """
    exchange = topology.exchange()
    labels = topology.queues()
    queues = [make(label) for label in labels for make in (topology.dead_letters, topology.queue)]
    users: dict[str, list[str]] = {}
    for label in labels:
        users.setdefault(conf.current().users.get(label, label), []).append(label)
    own = [each.queue for each in flows.own_queues()]
    return {
        "vhosts": [{"name": vhost}],
        "permissions": [
            {"vhost": vhost, "user": user, **_rights(contexts)} for user, contexts in users.items()
        ],
        "topic_permissions": [
            {"vhost": vhost, "user": user, "exchange": exchange.name, **_rights_on_keys(contexts)}
            for user, contexts in users.items()
        ],
        "exchanges": [
            _described(each, vhost, type=each.type, internal=False, arguments=each.arguments or {})
            for each in (exchange, *map(topology.owner, labels), *(queue.exchange for queue in own))
        ],
        "queues": [_described(queue, vhost, arguments=queue.queue_arguments) for queue in (*queues, *own)],
        "bindings": [
            *(_bound(queue, key, exchange, vhost) for queue in queues for key in _keys(queue)),
            *(_bound(queue, queue.routing_key, queue.exchange, vhost) for queue in own),
        ],
    }


def _bound(queue: Queue, key: str, exchange: Exchange, vhost: str) -> dict[str, Any]:
    return {
        "vhost": vhost,
        "source": exchange.name,
        "destination_type": "queue",
        "destination": queue.name,
        "routing_key": key,
        "arguments": {},
    }


def _described(made: Exchange | Queue, vhost: str, **more: Any) -> dict[str, Any]:
    return {"vhost": vhost, "name": made.name, "durable": made.durable, "auto_delete": False, **more}


def as_text(found: Definitions) -> str:
    """Return definitions as JSON, with a line for each, so that a difference shows what changed."""
    kinds = [
        f'  "{kind}": [\n' + ",\n".join(f"    {json.dumps(one)}" for one in ones) + "\n  ]"
        for kind, ones in found.items()
    ]
    return "{\n" + ",\n".join(kinds) + "\n}\n"


def _rights(contexts: Sequence[str]) -> dict[str, str]:
    """Return regular expressions of names: a user configures what its workers are controlled by and its queues' owners."""
    own, exchange = _any(list(map(topology.name, contexts))), re.escape(topology.exchange().name)
    control = rf"{own}\.celeryev(\..+)?|(.+\.)?{own}\.pidbox"
    told = "".join(rf"|{re.escape(each.queue.exchange.name)}" for each in flows.own_queues())
    heard = "".join(
        rf"|{re.escape(each.queue.name)}"
        for each in flows.own_queues()
        if not each.reader or each.reader in contexts
    )
    return {
        "configure": rf"^({own}\.owner|{control})$",  # an owner is compared by declaring it
        "write": rf"^({exchange}|{own}(\.dead)?|{control}{told})$",  # a queue is written to by binding it
        "read": rf"^({exchange}|{own}(\.dead|\.owner)?|{control}{heard})$",  # and an exchange is read from
    }


def _rights_on_keys(contexts: Sequence[str]) -> dict[str, str]:
    """Return regular expressions of routing keys, to publish with and to bind with."""
    queues = [make(context) for context in contexts for make in (topology.dead_letters, topology.queue)]
    heard = dict.fromkeys(key for queue in queues for key in _keys(queue))
    own = _any(list(map(topology.name, contexts)))
    return {
        "write": rf"^({_any(contexts)}\..+|{own}(\.dead)?)$",
        "read": f"^({'|'.join(map(re.escape, heard))})$",
    }


def _keys(queue: Queue) -> list[str]:
    """Return the keys by which a queue is bound: its own name, then types in order."""
    return sorted((bound.routing_key for bound in queue.bindings), key=lambda key: (key != queue.name, key))


def _any(names: Sequence[str]) -> str:
    return re.escape(names[0]) if len(names) == 1 else f"({'|'.join(map(re.escape, names))})"
