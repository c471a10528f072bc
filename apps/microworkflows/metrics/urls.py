"""Addresses that a project includes: ``path("", include("microworkflows.metrics.urls"))``."""

from django.urls import path

from microworkflows.metrics import views

urlpatterns = [
    path("metrics", views.metrics, name="microworkflows-metrics"),
    path("live", views.live, name="microworkflows-live"),
    path("ready", views.ready, name="microworkflows-ready"),
]
