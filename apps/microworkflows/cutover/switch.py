"""The switch: keeps the mode of each context, changes it, and stamps flows that begin."""

import logging
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from django.db import router
from django.utils.translation import gettext as _

from microworkflows import registry, times, transactions
from microworkflows.cloudevents import mark_of
from microworkflows.cutover import conf, doubts, legacy_steps
from microworkflows.cutover.doubts import Doubt
from microworkflows.cutover.models import ContextMode, ContextMove, ModeChange, mode_said, mode_text
from microworkflows.cutover.splitting.steps import AWAY
from microworkflows.cutover.stamps import Mode, Stamp
from microworkflows.errors import MicroworkflowsError
from microworkflows.models import OutboxEvent

logger = logging.getLogger(__name__)

_LONGEST_REASON = 500
_MOST_FAILING = 1_000_000


class CutoverRefusedError(MicroworkflowsError):
    """The mode cannot be changed like this; nothing was changed."""


class DoubtfulError(CutoverRefusedError):
    """Something speaks against the change, and nobody has said that it is known; nothing was changed."""

    def __init__(self, context: str, wanted: "Setting", found: Sequence[Doubt]) -> None:
        self.doubts = tuple(found)
        """All that speaks against it, whether it was known or not."""
        lines = "".join(
            f"\n  {doubt.kind}: {' '.join((doubt.said, doubt.remedy)).strip()}" for doubt in found
        )
        kinds = " ".join(dict.fromkeys(doubt.kind.value for doubt in found))
        super().__init__(
            f"This speaks against {context} going {wanted}:{lines}\nTo go on although you know of it, add: --although {kinds}"
        )


@dataclass(frozen=True)
class Setting:
    """Mode of a context for the flows that begin now."""

    mode: Mode = Mode.INLINE
    percent: int | None = None
    """Percentage of flows that a live context does, 1 to 100. The others are inline."""

    def __str__(self) -> str:
        return mode_text(self.mode, self.percent)

    @property
    def said(self) -> str:
        """The setting for a page, in the language of the person who looks."""
        return mode_said(self.mode, self.percent)


_LIVE_FOR_ALL = Setting(Mode.LIVE, 100)
_forced: dict[str, Setting] = {}


def settings() -> dict[str, Setting]:
    """Return the setting of each context that is being cut over, in the order of ``MICROWORKFLOWS["CUTOVER"]``."""
    kept = {row.context: Setting(Mode(row.mode), row.percent) for row in ContextMode.objects.all()}
    return {context: kept.get(context, Setting()) for context in conf.contexts()} | {
        context: setting for context, setting in _forced.items() if context in conf.contexts()
    }


@contextmanager
def forced(settings: Mapping[str, Setting]) -> Iterator[None]:
    """Let these settings hold in this process, whatever the database keeps; for runs of a test suite in a mode."""
    before = dict(_forced)
    _forced.update(settings)
    try:
        yield
    finally:
        _forced.clear()
        _forced.update(before)


def stamp(correlation_id: str) -> Stamp:
    """Return the stamp for an event without a cause that is about to be recorded in a flow.

    A flow that already has events goes on as it began; but a context that is now live for all flows is live for it too,
    since the monolith's path may be gone. In a new flow, a context that is live for some flows takes those whose
    :func:`position` is below its percentage, so that a higher percentage only adds flows.
    """
    begun, present = _begun(correlation_id), settings()
    if begun is not None:
        return Stamp.of(
            {context: mode for context, mode in begun.entries if present.get(context) != _LIVE_FOR_ALL}
        )
    modes = {}
    for context, setting in present.items():
        if setting.mode is not Mode.LIVE:
            modes[context] = setting.mode
        elif position(correlation_id) >= (setting.percent or 0):
            modes[context] = Mode.INLINE
    return Stamp.of(modes)


def _begun(correlation_id: str) -> Stamp | None:
    """Return the stamp of the flow's first event, ignoring those recorded beside direct calls."""
    bodies = OutboxEvent.objects.of_flow(correlation_id).values_list("body", flat=True)
    stamps = (Stamp.parse(mark_of(body)) for body in bodies.iterator(chunk_size=20))
    return next((stamp for stamp in stamps if not stamp.done), None)


def moved() -> dict[str, str]:
    """Return the contexts that work in a database of their own, each with its URL without the password."""
    return dict(ContextMove.objects.filter(step__in=AWAY).values_list("context", "target"))


def position(correlation_id: str) -> int:
    """Return the position of a flow among all flows, 0 to 99: the same in every process and for ever."""
    return zlib.crc32(correlation_id.encode()) % 100


def change(
    context: str,
    *,
    mode: Mode,
    percent: int | None = None,
    by: str,
    why: str,
    expected: Setting | None = None,
    although: Collection[str] = (),
) -> Setting:
    """Change the mode of a context for the flows that begin from now on; those under way end as they began.

    Args:
        context: Label of the context.
        mode: The new mode: inline, shadow or live.
        percent: Percentage of flows for live, 1 to 100; 100 by default.
        by: Name of the person who changes it.
        why: The reason, for readers of the history.
        expected: The setting before the change, which is refused if somebody else has changed it meanwhile.
        although: Kinds of the doubts that the person knows of (:class:`microworkflows.cutover.doubts.Kind`); the history keeps
            what they said.

    Returns:
        The new setting.

    Raises:
        DoubtfulError: something else speaks against it than what ``although`` names.
        CutoverRefusedError: the mode cannot be changed like this; the text says why and what to do.
    """
    wanted = Setting(mode, 100 if mode is Mode.LIVE and percent is None else percent)
    with transactions.read_committed(using=router.db_for_write(ContextMode)):
        row = _locked(context)
        present = Setting(Mode(row.mode), row.percent)
        if expected is not None and present != expected:
            raise CutoverRefusedError(
                _(
                    "%(context)s is now %(present)s, not %(expected)s: somebody changed it meanwhile. Look again, then decide."
                )
                % {"context": context, "present": present.said, "expected": expected.said}
            )
        if wanted == present:
            return present
        _refuse(context, wanted)
        if not why.strip() or len(why) > _LONGEST_REASON or "\x00" in why:
            raise CutoverRefusedError(
                _(
                    "Say why %(context)s goes %(wanted)s, in at most %(longest)s characters: readers of the history want to know."
                )
                % {"context": context, "wanted": wanted.said, "longest": _LONGEST_REASON}
            )
        found = speaks_against(context, present, wanted)
        if any(doubt.kind not in although for doubt in found):
            raise DoubtfulError(context, wanted, found)
        row.mode, row.percent, row.changed_at = wanted.mode.value, wanted.percent, times.now()
        row.save()
        ModeChange.objects.create(
            context=context,
            from_mode=present.mode.value,
            from_percent=present.percent,
            to_mode=wanted.mode.value,
            to_percent=wanted.percent,
            why=why.strip(),
            although="\n".join(doubt.said for doubt in found),
            changed_by=by,
            changed_at=row.changed_at,
        )
    logger.warning("cut-over: %s goes from %s to %s, by %s: %s", context, present, wanted, by, why)
    return wanted


def return_at(context: str, failing: int | None, *, by: str) -> None:
    """Set the number of failing messages of its live flows at which a context goes back to inline by itself; None: never.

    Raises:
        CutoverRefusedError: the context is not being cut over, or the number is none; nothing was changed.
    """
    if failing is not None and not 1 <= failing <= _MOST_FAILING:
        raise CutoverRefusedError(
            _(
                "%(context)s goes back at 1 to %(most)s failing messages, not at %(failing)s. Leave it empty, or say 0 to the "
                "command, to let it never go back by itself."
            )
            % {"context": context, "most": _MOST_FAILING, "failing": failing}
        )
    with transactions.read_committed(using=router.db_for_write(ContextMode)):
        row = _locked(context)
        row.return_at = failing
        row.save(update_fields=["return_at"])
    said = "never" if failing is None else f"at {failing} failing messages of live flows"
    logger.warning("cut-over: %s goes back to inline by itself %s, by %s", context, said, by)


def speaks_against(context: str, present: Setting, wanted: Setting) -> list[Doubt]:
    """Return what speaks against a change, as :func:`change` asks about it."""
    others = [setting for name, setting in settings().items() if name != context]
    return doubts.of(context, present, wanted, others=others)


def _locked(context: str) -> ContextMode:
    known = conf.contexts()
    if context not in known:
        raise CutoverRefusedError(
            _("%(context)r is not being cut over. MICROWORKFLOWS['CUTOVER'] names: %(known)s.")
            % {"context": context, "known": ", ".join(known) or _("nothing")}
        )
    ContextMode.objects.get_or_create(context=context, defaults={"changed_at": times.now()})
    return ContextMode.objects.select_for_update().get(pk=context)


def _refuse(context: str, wanted: Setting) -> None:
    move = ContextMove.objects.filter(pk=context).first()
    if move is not None:
        raise CutoverRefusedError(
            _(
                "%(context)s works in a database of its own, %(target)s, or is just being moved there, so the monolith "
                "could not do its steps. Move it back first: run split_database there, or with --abort before the switch."
            )
            % {"context": context, "target": move.target}
        )
    if wanted.mode is Mode.LIVE and (wanted.percent is None or not 1 <= wanted.percent <= 100):
        raise CutoverRefusedError(
            _("Live takes a percentage from 1 to 100, not %(percent)s. To take all flows back, go inline.")
            % {"percent": wanted.percent}
        )
    if wanted.mode is not Mode.LIVE and wanted.percent is not None:
        raise CutoverRefusedError(
            _("A percentage goes with live only; %(mode)s applies to all flows.")
            % {"mode": mode_said(wanted.mode, None)}
        )
    if not registry.subscriptions(context):
        raise CutoverRefusedError(
            _(
                "%(context)s has no microworkflow, so its mode would mean nothing. Is its app in INSTALLED_APPS?"
            )
            % {"context": context}
        )
    if wanted.mode is Mode.SHADOW and not legacy_steps.of_context(context):
        raise CutoverRefusedError(
            _(
                "%(context)s has no legacy step to compare its microworkflows with. Register one with "
                "@microworkflows.cutover.legacy in %(context)s/legacy.py, or go from inline straight to live."
            )
            % {"context": context}
        )
