"""The journal: what happened in every flow, in any number of services, from the notices that their processes send.

An optional app, and a guest of the core. Relays and workers send small notices to an exchange of their own; one collector
writes them to the journal's tables, and the pages in the admin are queries of these. When nobody collects, the
notices fall out of a bounded queue, orders go on, and the collector fills the gap from the owners' tables later.
"""
