"""How the shop sends its hooks while a shadow listens: to the shadow alone."""

import json
import os

import requests
from django.core.serializers.json import DjangoJSONEncoder

session = requests.Session()


def deliver(target, payload, instance=None, hook=None):
    body = json.dumps(payload, cls=DjangoJSONEncoder)
    headers = {"Content-Type": "application/json"}
    session.post(os.environ["SHADOW"], data=body, headers=headers).raise_for_status()
