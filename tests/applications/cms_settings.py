"""A site: Wagtail, with the demonstration that comes with it."""

from common_settings import *  # noqa: F403

ROOT_URLCONF = "cms_urls"
INSTALLED_APPS = [
    "wagtail.test.demosite",
    "wagtail.contrib.redirects",
    "wagtail.contrib.search_promotions",
    "wagtail.contrib.settings",
    "wagtail.contrib.forms",
    "wagtail.search",
    "wagtail.embeds",
    "wagtail.images",
    "wagtail.sites",
    "wagtail.locales",
    "wagtail.snippets",
    "wagtail.documents",
    "wagtail.users",
    "wagtail.admin",
    "wagtail",
    "modelcluster",
    "taggit",
] + DJANGO_APPS  # noqa: F405
WAGTAIL_SITE_NAME = "Seiten"
WAGTAILADMIN_BASE_URL = "http://localhost"
WAGTAILREDIRECTS_AUTO_CREATE = True
# The index is a table with a tsvector.
WAGTAILSEARCH_BACKENDS = {"default": {"BACKEND": "wagtail.search.backends.database", "AUTO_UPDATE": True}}
