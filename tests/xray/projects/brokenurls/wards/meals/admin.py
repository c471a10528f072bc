from django.contrib import admin
from wards.meals.kitchens import Oven

admin.site.register(Oven)
