from django.urls import path
from kasse import views

urlpatterns = [path("bon/<int:ware>", views.bon)]
