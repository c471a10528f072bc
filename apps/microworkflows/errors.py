"""What the kit raises: each message says what happened, why, and what to do next."""


class MicroworkflowsError(Exception):
    """Base of every error that the kit raises."""


class PermanentError(MicroworkflowsError):
    """A failure that no retry can heal: the message is parked at once.

    Raise it (or a subclass) in a microworkflow when trying again with the same event is pointless.
    """


class InvalidCloudEventError(PermanentError):
    """The message is no CloudEvent 1.0 in JSON, or its attributes are not what the standard says."""


class InvalidPayloadError(PermanentError):
    """The event's data does not satisfy the reading that its consumer declared."""


class UnreadableMarkError(PermanentError):
    """The event's flow bears a mark that no installed app reads, so nobody knows who is to do its steps."""


class UndeclaredEventError(PermanentError):
    """A microworkflow emitted something that its ``emits`` does not name."""


class TransactionRequiredError(MicroworkflowsError):
    """An event was recorded outside a transaction, so it could be lost or tell of a change that never was."""


class EventNotDeliveredError(MicroworkflowsError):
    """The metadata of an event was asked for that was made by hand and never delivered."""


class BrokerUnavailableError(MicroworkflowsError):
    """The broker cannot be reached or does not answer in time; nothing is lost, the outbox still has it."""
