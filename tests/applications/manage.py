"""Runs a real application: `manage.py shop migrate`, and then `manage.py shop load`.

Its settings are in a module named for it, and so is what it does to its database. That happens in two steps, because
its tables have to be there before rowhook can be told of them.
"""

import importlib
import os
import sys

import django
from django.core.management import call_command

name, step = sys.argv[1:]
os.environ["DJANGO_SETTINGS_MODULE"] = f"{name}_settings"
django.setup()
if step == "migrate":
    call_command("migrate", verbosity=0, interactive=False)
else:
    importlib.import_module(f"{name}_load").load()
