import os
from pathlib import Path

import dj_database_url
from oscar.defaults import *

BASE_DIR = Path(__file__).resolve().parent.parent
SECRET_KEY = "a shop that is only looked at"
ALLOWED_HOSTS = ["*"]
DATABASES = {
    "default": {
        **dj_database_url.config(default=f"sqlite:///{BASE_DIR}/shop.sqlite3"),
        "ATOMIC_REQUESTS": True,  # as Oscar asks for
    },
}
MIGRATION_MODULES = {"order": "oscar.apps.order.migrations"}

_OSCAR = """
    analytics.apps.Analytics address.apps.Address shipping.apps.Shipping catalogue.apps.Catalogue
    catalogue.reviews.apps.CatalogueReviews communication.apps.Communication partner.apps.Partner basket.apps.Basket
    payment.apps.Payment offer.apps.Offer customer.apps.Customer search.apps.Search voucher.apps.Voucher
    wishlists.apps.Wishlists dashboard.apps.Dashboard dashboard.reports.apps.ReportsDashboard
    dashboard.users.apps.UsersDashboard dashboard.orders.apps.OrdersDashboard
    dashboard.catalogue.apps.CatalogueDashboard dashboard.offers.apps.OffersDashboard
    dashboard.partners.apps.PartnersDashboard dashboard.pages.apps.PagesDashboard
    dashboard.ranges.apps.RangesDashboard dashboard.reviews.apps.ReviewsDashboard
    dashboard.vouchers.apps.VouchersDashboard dashboard.communications.apps.CommunicationsDashboard
    dashboard.shipping.apps.ShippingDashboard
"""
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.sites",
    "django.contrib.flatpages",
    "oscar.config.Shop",
    "shop.checkout.apps.CheckoutConfig",
    "shop.order.apps.OrderConfig",
    *(f"oscar.apps.{name}Config" for name in _OSCAR.split()),
    "widget_tweaks",
    "haystack",
    "treebeard",
    "django_tables2",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "oscar.apps.basket.middleware.BasketMiddleware",
    "django.contrib.flatpages.middleware.FlatpageFallbackMiddleware",
]
if os.environ.get("XRAY_SAMPLE"):
    MIDDLEWARE = ["microworkflows_xray.middleware.RecorderMiddleware", *MIDDLEWARE]
ROOT_URLCONF = "shop.urls"
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
SITE_ID = 1
STATIC_URL = "/static/"
USE_TZ = True
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "oscar.apps.search.context_processors.search_form",
                "oscar.apps.checkout.context_processors.checkout",
                "oscar.apps.communication.notifications.context_processors.notifications",
                "oscar.core.context_processors.metadata",
            ],
        },
    },
]
AUTHENTICATION_BACKENDS = [
    "oscar.apps.customer.auth_backends.EmailBackend",
    "django.contrib.auth.backends.ModelBackend",
]
HAYSTACK_CONNECTIONS = {"default": {"ENGINE": "haystack.backends.simple_backend.SimpleEngine"}}
EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

OSCAR_DEFAULT_CURRENCY = "EUR"
OSCAR_ALLOW_ANON_CHECKOUT = True
OSCAR_INITIAL_ORDER_STATUS = OSCAR_INITIAL_LINE_STATUS = "Pending"
OSCAR_ORDER_STATUS_PIPELINE = {"Pending": ["Paid", "Cancelled"], "Paid": ["Cancelled"], "Cancelled": []}
OSCAR_LINE_STATUS_PIPELINE = {"Pending": ["Packed", "Cancelled"], "Packed": [], "Cancelled": []}
