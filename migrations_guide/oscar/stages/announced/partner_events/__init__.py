"""Events of partner_events."""
