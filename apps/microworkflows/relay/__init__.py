"""The relay: brings recorded events to the broker, in order, and messages due for a retry back to their queue."""
