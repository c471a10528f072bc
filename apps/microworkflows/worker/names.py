"""Names of the tasks that receive events."""

TASK = "microworkflows.receive"
BUNDLE_TASK = "microworkflows.receive_bundle"
