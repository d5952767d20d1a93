"""Pages that nobody visits, but that a site makes addresses of."""

from django.urls import include, path
from wagtail import urls

urlpatterns = [path("", include(urls))]
