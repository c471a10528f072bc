"""The journey of a flow in the admin: on the change page of the flow's object, kept up to date as the flow goes on."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from microworkflows import journeys
from microworkflows.pages import fragment, fragment_url, journey_context, sees_journeys
from microworkflows.subjects import Subject

if TYPE_CHECKING:
    _ModelAdmin = admin.ModelAdmin[Any]
else:
    _ModelAdmin = admin.ModelAdmin


class JourneyMedia:
    """Stylesheet and script of the journey, for a ModelAdmin's ``Media``."""

    css = {"all": ["microworkflows/admin.css"]}
    js = ["microworkflows/journey.js"]


class JourneyAdminMixin(_ModelAdmin):
    """Shows the journey of a model's flow on its change page, live.

    Payloads and errors are shown to those who may see the outbox and the inbox. ::

        @admin.register(Order)
        class OrderAdmin(JourneyAdminMixin, admin.ModelAdmin):
            def journey_headline(self, obj):
                return badge(obj.get_state_display(), tone="good" if obj.is_final else "busy")

    A subclass with a change form template of its own extends ``admin/microworkflows/journey_change_form.html``.
    """

    change_form_template = "admin/microworkflows/journey_change_form.html"

    class Media(JourneyMedia):
        """Stylesheet and script of the journey."""

    def journey_correlation_id(self, obj: Any) -> str | None:
        """Return the correlation id of the object's flow, or None while none has begun: then the page shows no journey.

        By default it is the newest flow recorded with ``about=obj``; if there is none, the primary key, for flows recorded
        with ``correlation_id=obj.pk``.
        """
        return journeys.flow_about(obj) or str(obj.pk)

    def journey_headline(self, obj: Any) -> SafeString:
        """Return the headline above the journey, such as the object's state; it is kept up to date too."""
        return format_html("{}", obj)

    def get_urls(self) -> list[URLPattern]:
        """Add the fragment that the page polls."""
        fragment = path(
            "<path:object_id>/journey/",
            self.admin_site.admin_view(self.journey_view),
            name=f"{self.opts.app_label}_{self.opts.model_name}_journey",
        )
        return [fragment, *super().get_urls()]

    def journey_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Return the present headline and journey as an HTML fragment; 304 if nothing has changed."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        obj = self.get_object(request, unquote(object_id))
        if obj is None:
            raise Http404(
                _("No %(kind)s has the key %(key)r; it may have been deleted.")
                % {"kind": self.opts.verbose_name, "key": object_id}
            )
        if not self.has_view_permission(request, obj):
            raise PermissionDenied
        return fragment(request, self._journey_context(request, obj))

    def render_change_form(  # noqa: PLR0917  (Django's signature)
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Model | None = None,
    ) -> HttpResponse:
        """Render the page with the journey's first state, so that it also works without JavaScript."""
        if obj is not None and obj.pk is not None:
            context |= self._journey_context(request, obj)
            url = reverse(
                f"admin:{self.opts.app_label}_{self.opts.model_name}_journey",
                args=[quote(obj.pk)],
                current_app=self.admin_site.name,
            )
            context["mw_fragment_url"] = fragment_url(request, url)
        return super().render_change_form(request, context, add, change, form_url, obj)

    def _journey_context(self, request: HttpRequest, obj: Model) -> dict[str, Any]:
        return journey_context(request, self.journey_correlation_id(obj), headline=self.journey_headline(obj))


def flow_link(correlation_id: str, *, request: HttpRequest | None, site: str) -> SafeString:
    """Return the correlation id of a flow, with a link to its journey for those who may open it."""
    link = journey_link(correlation_id, text=_("its journey"), request=request, site=site)
    return format_html('<code class="mw-id">{}</code> {}', correlation_id, link)


def about_link(
    subject: Subject | None, correlation_id: str, *, request: HttpRequest | None, site: str
) -> SafeString | str:
    """Return the name of what a flow is about, and below it the kind; empty if nothing says so.

    For those who may open the journey, the name is a link to it.
    """
    if subject is None:
        return ""
    name = title(subject)
    link = journey_link(correlation_id, text=name, request=request, site=site) or name
    return format_html('{}<span class="mw-under">{}</span>', link, subject.kind)


def title(subject: Subject) -> SafeString:
    """Return the name of what a flow is about, set apart: nobody knows in which direction it is written."""
    return format_html("<bdi>{}</bdi>", subject.title)


def journey_link(
    correlation_id: str, *, request: HttpRequest | None, text: str = "", site: str = "admin"
) -> SafeString:
    """Return a link to the journey of a flow, by default with this word; empty for a user who may not open it."""
    if request is None or not sees_journeys(request):
        return SafeString()
    url = reverse("admin:microworkflows_journey", args=[quote(correlation_id)], current_app=site)
    return format_html('<a href="{}">{}</a>', url, text or _("journey"))
