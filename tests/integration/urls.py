"""The probe has no pages."""

urlpatterns: list[object] = []
