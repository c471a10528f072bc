"""The form of a draft: it is refused when somebody else saved the draft since the form was opened."""

import json
from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext

from orders.models import Order

if TYPE_CHECKING:
    _ModelForm = forms.ModelForm[Order]
else:
    _ModelForm = forms.ModelForm


class DraftForm(_ModelForm):
    """What the customer said; a save that would silently undo another one is refused, and says what changed."""

    seen = forms.CharField(label="", required=False, widget=forms.HiddenInput)
    """The draft when the form was opened, as JSON."""

    class Meta:
        model = Order
        fields = ["customer_name", "street", "postcode", "city", "country", "payment_token"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._is_saved = bool(self.instance.number)
        # Taken before validation, which writes what was typed into the instance.
        self._now = _standing(self.instance) if self._is_saved else {}
        self.initial["seen"] = json.dumps(self._now)

    def clean(self) -> dict[str, Any] | None:
        """Hold what the form was opened with against what is saved now."""
        cleaned = super().clean() or self.cleaned_data
        if not self._is_saved:
            return cleaned
        changes = _changes(_read(cleaned.get("seen", "")), self._now)
        if changes:
            # Shown again, the form keeps what was typed and has seen what the message says.
            typed = {name: self.data.get(name) for name in self.data}  # unpacked, it would give lists
            self.data = typed | {self.add_prefix("seen"): self.initial["seen"]}
            refusal = gettext(
                "Somebody saved this draft while you were editing it, so nothing of yours was saved yet. "
                "Check what changed, then save again to keep what the form shows."
            )
            raise ValidationError([refusal, *changes], code="changed")
        return cleaned


def _standing(order: Order) -> dict[str, str]:
    """Return what is saved of a draft: its values by field, the quantities of its lines by product."""
    fields = {
        field.name: str(field.value_from_object(order))
        for field in Order._meta.fields
        if field.name in DraftForm.Meta.fields
    }
    lines = {str(line.product): str(line.quantity) for line in order.lines.select_related("product")}
    return fields | lines


def _read(seen: str) -> dict[str, str]:
    """Return what a form was opened with; nothing, where that did not come from this form."""
    try:
        values = json.loads(seen)
    except (ValueError, RecursionError):  # nested too deeply to be of this form
        return {}
    return values if isinstance(values, dict) else {}


def _changes(seen: dict[str, str], now: dict[str, str]) -> list[str]:
    """Return a sentence for each value that differs."""
    return [
        _change(name, seen.get(name), now.get(name))
        for name in {**seen, **now}
        if seen.get(name) != now.get(name)
    ]


def _change(name: str, before: str | None, after: str | None) -> str:
    if before is None:
        text = gettext("%(name)s: was not there, is now %(after)s.")
    elif after is None:
        text = gettext("%(name)s: was %(before)s, is now not there.")
    else:
        text = gettext("%(name)s: was %(before)s, is now %(after)s.")
    return text % {"name": _label(name), "before": before, "after": after}


def _label(name: str) -> str:
    """Return what people know a field by; a product's name as it is."""
    field = DraftForm.base_fields.get(name)
    return str(field.label) if field else name
