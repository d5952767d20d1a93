"""django-rest-hooks as its README has it: HOOK_EVENTS, a hook, and models that are saved. It sends with its own threads.

DATABASE_PORT and DATABASE name the source, TARGET the URL to post to, and ROWS the number of rows to save.
"""

import os

import django
from django.conf import settings

settings.configure(
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "HOST": "127.0.0.1",
            "PORT": os.environ["DATABASE_PORT"],
            "NAME": os.environ["DATABASE"],
            "USER": "postgres",
        }
    },
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "rest_hooks"],
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    HOOK_EVENTS={"book.added": "compare.Book.created"},
    USE_TZ=True,
)
django.setup()

from django.contrib.auth.models import User  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection, models  # noqa: E402
from rest_hooks.models import Hook, client  # noqa: E402


class Book(models.Model):
    user = models.ForeignKey(User, on_delete=models.CASCADE)
    title = models.TextField(default="The Restaurant at the End of the Universe")
    price = models.DecimalField(max_digits=8, decimal_places=2, default="7.99")
    added = models.DateTimeField(auto_now_add=True)
    in_print = models.BooleanField(default=True)
    note = models.TextField(default="x" * 270)

    class Meta:
        app_label = "compare"


call_command("migrate", verbosity=0)
with connection.schema_editor() as editor:
    editor.create_model(Book)
user = User.objects.create(username="reader")
Hook.objects.create(user=user, event="book.added", target=os.environ["TARGET"])
for _ in range(int(os.environ["ROWS"])):
    Book.objects.create(user=user)
# Wait for its threads: what they have not sent when the process ends is lost.
for thread in client.flush_threads:
    if thread.is_alive():
        thread.join()
