"""The probe's pages: what monitoring asks for."""

from django.urls import include, path

urlpatterns = [path("", include("microworkflows.metrics.urls"))]
