"""The shop's addresses: the admin is its front; ``/ready`` says whether it can work, and ``/metrics`` how it does."""

from django.contrib import admin
from django.templatetags.static import static
from django.urls import include, path
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _
from django.views.generic import RedirectView

from project import service

name = service.name()
if name:
    admin.site.site_header = format_lazy(_("The microworkflows shop: {name}"), name=name)
    admin.site.index_title = format_lazy(_("The service {name}"), name=name)
else:
    admin.site.site_header = _("The microworkflows shop")
    admin.site.index_title = _("Orders, and what became of them")
admin.site.site_title = admin.site.site_header

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", admin.site.urls),
    path("", include("microworkflows.metrics.urls")),  # metrics, live, ready
    path(
        "favicon.ico", RedirectView.as_view(url=static("project/favicon.svg"))
    ),  # browsers ask for it unasked
]
