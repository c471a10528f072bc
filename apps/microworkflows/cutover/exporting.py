"""Shadow comparisons as plain objects, for export as JSON to a ticket or a test."""

from typing import Any

from microworkflows.cutover.models import ShadowComparison


def plain(comparison: ShadowComparison) -> dict[str, Any]:
    """Return a comparison with all its fields as a JSON object; times in ISO 8601, durations in microseconds."""
    return {
        "id": str(comparison.pk),
        "workflow": comparison.workflow,
        "outcome": comparison.outcome,
        "event_id": str(comparison.event_id),
        "event_type": comparison.event_type,
        "correlation_id": comparison.correlation_id,
        "compared_at": comparison.compared_at.isoformat(),
        "legacy_microseconds": comparison.legacy_microseconds,
        "shadow_microseconds": comparison.shadow_microseconds,
        "differences": comparison.differences,
    }
