"""The shop's addresses: the admin is its front, and ``/healthz`` says whether it can work."""

import logging

from django.contrib import admin
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse
from django.templatetags.static import static
from django.urls import path
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from django.views.generic import RedirectView

logger = logging.getLogger(__name__)


@never_cache
@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """Answer 200 if the database answers, else 503 with the kind of error; the log has its text."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as error:
        logger.error("The database does not answer: %s", error)
        message = f"The database does not answer: {type(error).__name__}. The log says more.\n"
        return HttpResponse(message, status=503, content_type="text/plain")
    return HttpResponse("ok\n", content_type="text/plain")


admin.site.site_header = admin.site.site_title = _("The shop")
admin.site.index_title = _("Orders, and what became of them")

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", admin.site.urls),
    path("healthz", healthz, name="healthz"),
    path(
        "favicon.ico", RedirectView.as_view(url=static("project/favicon.svg"))
    ),  # browsers ask for it unasked
]
