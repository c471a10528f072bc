from wards.beds.views import ViewThatWasRenamed

urlpatterns = [ViewThatWasRenamed]
