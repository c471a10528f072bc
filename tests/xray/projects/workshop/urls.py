from django.urls import path
from sales import views

urlpatterns = [
    path("orders/", views.place, name="place"),
    path("orders/<str:customer>/", views.look, name="look"),
    path("notes/", views.NoteCreate.as_view(), name="note"),
    path("later/", views.place_later, name="later"),
    path("stocktaking/", views.take_stock, name="stocktaking"),
    path("broken/", views.fail, name="broken"),
]
