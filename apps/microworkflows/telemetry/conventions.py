"""Names from OpenTelemetry's semantic conventions 1.44.0, which OpenTelemetry for Python 1.45 follows, and the kit's own beside them.

Source: the repository open-telemetry/semantic-conventions at v1.44.0: ``docs/messaging/messaging-spans.md``,
``docs/messaging/rabbitmq.md``, ``docs/cloudevents/cloudevents-spans.md``, ``docs/general/recording-errors.md``. Those of messaging and
CloudEvents are in development, and the package ``opentelemetry-semantic-conventions`` keeps them among what may change with each
of its releases: so they are written out here, where a change is one line.
"""

from typing import Final

SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.44.0"

# Messaging
SYSTEM: Final = "messaging.system"
OPERATION_NAME: Final = "messaging.operation.name"
OPERATION_TYPE: Final = "messaging.operation.type"
DESTINATION: Final = "messaging.destination.name"
"""At RabbitMQ, for a producer ``{exchange}:{routing key}``, for a consumer ``{exchange}:{routing key}:{queue}``, without what is empty."""
MESSAGE_ID: Final = "messaging.message.id"
CONVERSATION_ID: Final = "messaging.message.conversation_id"
MESSAGE_COUNT: Final = "messaging.batch.message_count"
ROUTING_KEY: Final = "messaging.rabbitmq.destination.routing_key"

RABBITMQ: Final = "rabbitmq"
CREATE: Final = "create"
SEND: Final = "send"
PROCESS: Final = "process"
"""Types of operations."""
PUBLISH: Final = "publish"
"""RabbitMQ's name of the operation of type *send*; the other two bear the names of their types."""

# CloudEvents
EVENT_ID: Final = "cloudevents.event_id"
EVENT_SOURCE: Final = "cloudevents.event_source"
EVENT_SPEC_VERSION: Final = "cloudevents.event_spec_version"
EVENT_SUBJECT: Final = "cloudevents.event_subject"
EVENT_TYPE: Final = "cloudevents.event_type"

# General; these are stable.
ERROR_TYPE: Final = "error.type"
OTHER_ERROR: Final = "_OTHER"
REJECTED: Final = "rejected"
"""The broker will never accept a message of the batch."""
UNCONFIRMED: Final = "unconfirmed"
"""A message of the batch is published again: the broker nacked it, or went away."""
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"

# The kit's own.
MICROWORKFLOW: Final = "microworkflows.microworkflow"
"""Label of the microworkflow that handles the message, or of the context where none listens."""
ATTEMPT: Final = "microworkflows.attempt"
"""Number of the attempt, 1 for the first."""
SUBJECT: Final = "microworkflows.subject"
"""Kind and key of what the flow is about, such as ``orders.order:42``."""
SUBJECT_NAME: Final = "microworkflows.subject_name"
"""Its name for people, such as ``A-000123``."""
UNHEARD: Final = "microworkflows.unheard"
"""Number of messages of a batch that no queue is bound for."""
