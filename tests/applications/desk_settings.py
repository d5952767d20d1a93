"""A help desk: django-helpdesk."""

from common_settings import *  # noqa: F403

ROOT_URLCONF = "desk_urls"
INSTALLED_APPS = DJANGO_APPS + ["rest_framework", "helpdesk"]  # noqa: F405
# As its documentation says for those who have no teams.
HELPDESK_TEAMS_MODEL = "auth.User"
HELPDESK_TEAMS_MIGRATION_DEPENDENCIES = []
HELPDESK_KBITEM_TEAM_GETTER = lambda item: None  # noqa: E731
