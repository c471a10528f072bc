"""The small picture of a variant: the steps of one way, from left to right, and the same in words."""

from django.utils.translation import gettext as _

from microworkflows.cloudevents import context_of
from microworkflows.journal import layout
from microworkflows.journal.shapes import Arrow, LaneShape, Picture, Shape, own, sized, title
from microworkflows.journal.variants import Step, Way
from microworkflows.journeys import event_name


def of_way(way: Way) -> Picture:
    """Return the small picture of a variant."""
    types = sorted({each for step in way for each in (step.type, step.emitted) if each})
    arrows: set[tuple[str, str]] = set()
    boxes = [sized(f"type:{each}", context_of(each), event_name(each), small=True) for each in types]
    for step in sorted(way):
        if step.consumer:
            label = f"to:{step.consumer}"
            boxes.append(sized(label, context_of(step.consumer), own(step.consumer), small=True))
            arrows.add((f"type:{step.type}", label))
            if step.emitted:
                arrows.add((label, f"type:{step.emitted}"))
        elif step.type and step.emitted:
            arrows.add((f"type:{step.type}", f"type:{step.emitted}"))
    placed = layout.place(list({box.id: box for box in boxes}.values()), sorted(arrows), left=90.0)
    dismissed = {f"to:{step.consumer}" for step in way if step.dismissed}
    return Picture(
        width=placed.width,
        height=placed.height,
        lanes=tuple(LaneShape(at=lane) for lane in placed.lanes),
        shapes=tuple(
            Shape(
                id=name,
                kind="event" if name.startswith("type:") else "workflow",
                at=at,
                name=_("✕ dismissed: %(name)s") % {"name": title(name)} if name in dismissed else title(name),
                tip=name.partition(":")[2],
                tone="bad" if name in dismissed else "",
            )
            for name, at in placed.boxes.items()
        ),
        arrows=tuple(
            Arrow(
                path=path,
                target=target,
                tip=_("%(source)s to %(target)s") % {"source": title(source), "target": title(target)},
            )
            for (source, target), path in placed.paths.items()
        ),
    )


def steps_in_words(way: Way) -> list[str]:
    """Return the steps of a way in words, for those who do not see the picture."""

    def words_of(step: Step) -> str:
        if not step.type:
            return _("%(event)s begins the flow") % {"event": event_name(step.emitted)}
        told = {
            "event": event_name(step.type),
            "consumer": step.consumer or _("somebody"),
            "emitted": event_name(step.emitted),
        }
        if step.dismissed:
            return _("%(event)s: %(consumer)s was dismissed") % told
        if step.emitted:
            return _("%(event)s: %(consumer)s emits %(emitted)s") % told
        return _("%(event)s: %(consumer)s emits nothing") % told

    return [words_of(step) for step in sorted(way)]
