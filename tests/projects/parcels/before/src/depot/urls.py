from django.urls import path

from depot.parcels import views

urlpatterns = [path("parcels/", views.accept), path("archive/", views.archived)]
