"""The host for a server: HOST_DATABASE_URL says where its database is; SORA_… are in the environment."""

from __future__ import annotations

import os

from tests.support.host import create_host
from tests.support.host.notes import db

app = create_host(os.environ["HOST_DATABASE_URL"])
with app.app_context():
    db.create_all()
