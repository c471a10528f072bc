from django.contrib import admin
from wards.beds.linen.models import Sheet
from wards.beds.models import Bed, Pillow
from wards.meals.models import Meal


class MealInline(admin.TabularInline):
    model = Meal
    can_delete = False


class SheetInline(admin.StackedInline):
    model = Sheet
    max_num = 0


@admin.register(Bed)
class BedAdmin(admin.ModelAdmin):
    inlines = [MealInline, SheetInline]

    def has_delete_permission(self, request, obj=None):
        """Beds stay."""
        return False


@admin.register(Pillow)
class PillowAdmin(admin.ModelAdmin):
    def save_model(self, request, obj, form, change):
        super().save_model(request, obj, form, change)
