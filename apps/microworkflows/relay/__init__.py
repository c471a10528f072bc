"""The relay: brings what was recorded to the broker, in order, and messages due for a retry back to their queue."""
