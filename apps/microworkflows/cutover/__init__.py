"""Cut-over: how a monolith lets go of its workflow, one context at a time. A Django app, installed while that lasts.

``MICROWORKFLOWS["CUTOVER"]`` names the contexts that are being handed over. The mode of each, kept in the database
(:mod:`.switch`), is stamped into a flow when it begins; the monolith does the steps of those that are not live yet
(:mod:`.inline`), through its old functions where they are registered (:mod:`.legacy_steps`), and compares the new
with the old (:mod:`.shadow`).
"""
