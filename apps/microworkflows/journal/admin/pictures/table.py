"""The table: what the pictures show, in words; each delivery a row, with links to its owner's pages."""

from django.utils.html import escape
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from microworkflows.admin.badges import badge
from microworkflows.admin.texts import local_datetime
from microworkflows.journal.admin.pictures.frame import Viewer, joined, link, said_of, text, took
from microworkflows.journal.journeys import Delivery, Event, Journey
from microworkflows.journeys import human_duration

_HEAD = (_("Event"), _("Recorded"), _("By"), _("Consumer"), _("State"), _("Took"), _("Worker"))


def draw(journey: Journey, viewer: Viewer) -> SafeString:
    """Write the table as HTML."""
    caption = gettext("Deliveries of %(title)s") % {"title": journey.title}
    head = "".join(f"<th>{escape(name)}</th>" for name in _HEAD)
    parts = [
        (
            f'<div class="mwj-scroll" tabindex="0"><table class="mwj-table"><caption>{text(caption)}</caption>'
            f"<thead><tr>{head}</tr></thead><tbody>"
        )
    ]
    for event in journey.events:
        parts += [_row(journey, event, delivery, viewer) for delivery in event.deliveries or (None,)]
    return joined([*parts, "</tbody></table></div>"])


def _row(journey: Journey, event: Event, delivery: Delivery | None, viewer: Viewer) -> str:
    known = "" if event.status in ("relayed", "untold") else f" {badge(event.status)}"
    cells = [
        link(viewer.payload(journey, event), text(event.name)) + known,
        text(local_datetime(event.recorded_at)),
        f"<code>{text(event.emitted_by)}</code>",
    ]
    if delivery is None:
        nobody = text(gettext("nobody is known to listen"))
        cells += [f'<span class="mw-quiet">{nobody}</span>', "", "", ""]
    else:
        time = took(delivery)
        cells += [
            link(
                viewer.message(journey, event.id, delivery.context), f"<code>{text(delivery.consumer)}</code>"
            ),
            _state(journey, delivery, viewer),
            "" if time is None else human_duration(time),
            text(delivery.worker),
        ]
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _state(journey: Journey, delivery: Delivery, viewer: Viewer) -> str:
    said: list[str] = [badge(delivery.status)]
    if delivery.mode:
        url = viewer.comparison(journey) if delivery.mode.startswith("shadow") else ""
        said.append(link(url, badge(delivery.mode)))
    if delivery.attempts > 1:
        said.append(text(gettext("attempt %(number)s") % {"number": delivery.attempts}))
    said += [said_of(act, when=local_datetime(act.at)) for act in delivery.acts]
    if delivery.error and (error := viewer.error(delivery.error)):
        said.append(f'<span class="mw-failed">{text(error)}</span>')
    return " ".join(said)
