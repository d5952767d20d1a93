"""The running application: does what each line of standard input says, and answers each with a line.

A line is JSON: the text of Python statements over the models. The answer is `ok`, or the JSON of the last one's value.
"""

import ast
import datetime as dt
import json
import os
import sys
import traceback
import uuid
from decimal import Decimal

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
django.setup()

from django.apps import apps
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection, transaction
from django.utils import timezone
from rest_hooks.models import Hook
from rest_hooks.signals import hook_event, raw_hook_event
from shop.models import Author, Book, CustomHook, Tag, Thing, Ticket

for app in ("contenttypes", "auth", "rest_hooks"):
    call_command("migrate", app, verbosity=0, interactive=False)
with connection.schema_editor() as editor:
    # In the order of the file, as its migrations would.
    for model in apps.get_app_config("shop").get_models():
        editor.create_model(model)
print("ready", flush=True)

names = dict(globals())
for line in sys.stdin:
    try:
        source = json.loads(line)
        tree = ast.parse(source)
        last = tree.body[-1]
        answer = "ok"
        if isinstance(last, ast.Expr):
            tree.body.pop()
            exec(compile(tree, "line", "exec"), names)
            answer = eval(compile(ast.Expression(last.value), "line", "eval"), names)
            answer = json.dumps(answer) if isinstance(answer, (bool, int, str)) else "ok"
        else:
            exec(compile(tree, "line", "exec"), names)
        print(answer, flush=True)
    except Exception:
        print("failed: " + json.dumps(traceback.format_exc()), flush=True)
