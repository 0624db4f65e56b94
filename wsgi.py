"""The application for a WSGI server: `gunicorn -c python:sora.serving wsgi:app`."""

from __future__ import annotations

from sora import create_app

app = create_app()
