"""The usual FastAPI relay: AsyncOpenAI and a StreamingResponse. uvicorn runs it, with uvloop and httptools."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from openai import AsyncOpenAI
from pydantic import BaseModel

app = FastAPI()
client = AsyncOpenAI()


class Question(BaseModel):
    message: str
    history: list[dict[str, str]] = []


@app.post("/stream")
async def stream(question: Question) -> StreamingResponse:
    messages = [*question.history, {"role": "user", "content": question.message}]

    async def generate() -> AsyncIterator[str]:
        chunks = await client.chat.completions.create(model="gpt-4o-mini", messages=messages, stream=True)
        async for chunk in chunks:
            if chunk.choices and chunk.choices[0].delta.content:
                yield f"data: {json.dumps({'content': chunk.choices[0].delta.content})}\n\n"

    return StreamingResponse(generate(), media_type="text/event-stream")
