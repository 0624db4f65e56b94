"""The application for a WSGI server: `gunicorn -c python:sora.serving wsgi:app`."""

from __future__ import annotations

import sys

from sora import create_app
from sora.errors import ConfigError

try:
    app = create_app()
except ConfigError as error:
    print(error, file=sys.stderr)
    sys.exit(3)  # what gunicorn takes for "do not try again"
