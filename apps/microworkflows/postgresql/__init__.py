"""An engine for ``DATABASES``: Django's for PostgreSQL, recording in one trip (:mod:`microworkflows.one_trip`)."""
