"""The settings of the shop: a Django application with django-rest-hooks 1.5, as somebody might have one."""

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import django.dispatch


class Signal(django.dispatch.Signal):
    """What django-rest-hooks 1.5 still passes, and Django takes no more since 4.0."""

    def __init__(self, providing_args=None, use_caching=False):
        super().__init__(use_caching)


django.dispatch.Signal = Signal

# Where makemigrations writes those of the shop.
folder = tempfile.mkdtemp(prefix="shop-")
atexit.register(shutil.rmtree, folder, ignore_errors=True)
(Path(folder) / "shop_migrations").mkdir()
(Path(folder) / "shop_migrations" / "__init__.py").touch()
sys.path.append(folder)
MIGRATION_MODULES = {"shop": "shop_migrations"}

url = urlsplit(os.environ["DATABASE_URL"])
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": url.hostname,
        "PORT": url.port,
        "USER": url.username,
        "NAME": url.path.strip("/"),
    }
}
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.postgres",
    "rest_hooks",
    "shop",
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
TIME_ZONE = "Europe/Berlin"
SECRET_KEY = "of a shop that sells nothing"

HOOK_THREADING = False
HOOK_EVENTS = {
    "thing.added": "shop.Thing.created",
    "thing.changed": "shop.Thing.updated",
    "thing.removed": "shop.Thing.deleted",
    "book.added": "shop.Book.created+",
    "book.removed": "shop.Book.deleted+",
    "ticket.added": "shop.Ticket.created",
    "everything.added": "shop.Everything.created",
    "everything.changed": "shop.Everything.updated",
    "everything.removed": "shop.Everything.deleted",
    "novel.added": "shop.Novel.created",
    "novel.changed": "shop.Novel.updated",
    "user.logged_in": None,
}
if os.environ.get("HOOK_CUSTOM_MODEL"):
    HOOK_CUSTOM_MODEL = "shop.CustomHook"
    HOOK_FINDER = "shop.finder.find_and_fire_hook"
if os.environ.get("HOOK_DELIVERER"):
    HOOK_DELIVERER = "shop.deliver.deliver"
