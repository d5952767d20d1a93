"""Signs and verifies with the official library: one JSON object on standard input, the answer on standard output."""

import datetime
import json
import sys

from standardwebhooks.webhooks import Webhook

asked = json.load(sys.stdin)
webhook = Webhook(asked["secret"])
if sys.argv[1] == "sign":
    at = datetime.datetime.fromtimestamp(asked["timestamp"], tz=datetime.timezone.utc)
    print(webhook.sign(asked["id"], at, asked["body"]))
else:
    print(json.dumps(webhook.verify(asked["body"], asked["headers"])))
