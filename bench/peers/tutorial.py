"""The tutorial's Flask relay: the openai client, a loop, json.dumps. gunicorn with gevent workers runs it."""

from __future__ import annotations

import json
from collections.abc import Iterator

from flask import Flask, Response, request
from openai import OpenAI

app = Flask(__name__)
client = OpenAI()


@app.post("/stream")
def stream() -> Response:
    body = request.get_json()
    messages = [*body.get("history", []), {"role": "user", "content": body["message"]}]

    def generate() -> Iterator[str]:
        chunks = client.chat.completions.create(model="gpt-4o-mini", messages=messages, stream=True)
        for chunk in chunks:
            if chunk.choices and chunk.choices[0].delta.content:
                yield f"data: {json.dumps({'content': chunk.choices[0].delta.content})}\n\n"

    return Response(generate(), mimetype="text/event-stream")
