from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("herbarium", "__first__")]
