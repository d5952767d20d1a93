"""Pages that nobody visits, but that tickets have addresses of."""

from django.urls import include, path

urlpatterns = [path("", include("helpdesk.urls", namespace="helpdesk"))]
