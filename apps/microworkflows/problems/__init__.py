"""Problems, not rows: failures of one cause are one line, which a person replays, dismisses or assigns. An optional Django app.

:mod:`.groups` groups what waits and is parked by fingerprint; :mod:`.replays` replays a group, so many messages a second, from the
process that relays; ``admin`` has the pages.
"""
