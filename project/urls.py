"""The shop's addresses: the admin is its front; ``/ready`` says whether it can work, and ``/metrics`` how it does."""

from django.contrib import admin
from django.templatetags.static import static
from django.urls import include, path
from django.views.generic import RedirectView

from project import service

name = service.name()
admin.site.site_header = admin.site.site_title = f"The microworkflows shop{name and f': {name}'}"
admin.site.index_title = f"The service {name}" if name else "Orders, and what became of them"

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", admin.site.urls),
    path("", include("microworkflows.metrics.urls")),  # metrics, live, ready
    path(
        "favicon.ico", RedirectView.as_view(url=static("project/favicon.svg"))
    ),  # browsers ask for it unasked
]
