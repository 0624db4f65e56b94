"""An answer as Responses words it: numbered events, with the web search and the citations that it may have."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sora.simulator.actions import Wire, encode
from sora.simulator.citations import Citation
from sora.simulator.scripts import Script

_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}


class Reply(Wire):
    """One response. `header` is what it says of the request (id, model, created_at, tools); `query` is what it searches the web
    for, if it does, and `citations` what it then cites."""

    def __init__(
        self,
        script: Script,
        *,
        header: Mapping[str, Any],
        prompt_tokens: int,
        query: str | None,
        citations: Sequence[Citation],
    ) -> None:
        super().__init__(script)
        self._header = header
        self._prompt_tokens = prompt_tokens
        self._query = query
        self._cited = {each.piece: each for each in citations}
        self._number = 0
        self._output: list[dict[str, Any]] = []
        self._message_id = f"msg_{secrets.token_hex(12)}"
        self._begun = False
        self._texts: list[str] = []
        self._length = 0
        self._annotations: list[dict[str, Any]] = []
        self.final: dict[str, Any] | None = None
        """The response as it is at its end."""

    @property
    def id(self) -> str:
        return str(self._header["id"])

    def unfinished(self, status: str) -> dict[str, Any]:
        """The response before its end, or without one."""
        return self._response(status)

    def greeting(self) -> bytes:
        events = ("response.created", "response.in_progress")
        return b"".join(self._event(each, response=self._response("in_progress")) for each in events)

    def opening(self) -> bytes:
        return b""

    def parts(self, thought: Sequence[str], shown: Iterable[str]) -> Iterator[tuple[Iterator[bytes], int]]:
        if thought:
            yield self._thinking(thought), 0
        if self._query is not None:
            yield self._searching(self._query), 0
        yield self._saying(shown), 1

    def bad(self) -> bytes:
        return self._event("response.simulated")[: -9 - len(self.eol) * 2] + self.eol * 2

    def error(self) -> bytes:
        if self.script.failed is not None:
            return self._event("response.failed", response=self.whole_error())
        self.whole_error()
        return self._event("error", code="server_error", message=_FAILED, param=None)

    def ending(self, tokens: int, thought: Sequence[str]) -> Iterator[bytes]:
        begin = self._begin()
        if not self.script.finish:
            yield begin + self.block(b"[DONE]")
            return
        place = {"item_id": self._message_id, "output_index": len(self._output), "content_index": 0}
        kind = "refusal" if self.script.refusal else "output_text"
        text = {"refusal" if self.script.refusal else "text": "".join(self._texts)}
        yield begin + self._event(f"response.{kind}.done", **place, **text)
        part = self._part(self._texts)
        yield self._event("response.content_part.done", **place, part=part)
        item = self._message(self._status(), [part])
        self._output.append(item)
        yield self._event("response.output_item.done", output_index=place["output_index"], item=item)
        yield self._event(
            f"response.{self._status()}", response=self._ended(self._output, tokens, len(thought))
        )

    def whole(self, shown: Sequence[str], thought: Sequence[str]) -> dict[str, Any]:
        for piece in shown:
            self._heed(piece)
        output = [self._reasoning(thought)] if thought else []
        if self._query is not None:
            output.append(self._search("completed", self._query))
        output.append(self._message(self._status(), [self._part(shown)]))
        return self._ended(output, len(shown), len(thought))

    def whole_error(self) -> dict[str, Any]:
        self.final = self._response("failed") | {"error": {"code": "server_error", "message": _FAILED}}
        return self.final

    # The parts of a stream.

    def _thinking(self, thought: Sequence[str]) -> Iterator[bytes]:
        done = self._reasoning(thought)
        place = {"item_id": done["id"], "output_index": len(self._output)}
        added = self._event(
            "response.output_item.added",
            output_index=place["output_index"],
            item={**done, "summary": []},
        ) + self._event(
            "response.reasoning_summary_part.added",
            **place,
            summary_index=0,
            part={"type": "summary_text", "text": ""},
        )
        for piece in thought:
            yield added + self._event(
                "response.reasoning_summary_text.delta", **place, summary_index=0, delta=piece
            )
            added = b""
        self._output.append(done)
        part = done["summary"][0]
        yield (
            self._event("response.reasoning_summary_text.done", **place, summary_index=0, text=part["text"])
            + self._event("response.reasoning_summary_part.done", **place, summary_index=0, part=part)
            + self._event("response.output_item.done", output_index=place["output_index"], item=done)
        )

    def _searching(self, query: str) -> Iterator[bytes]:
        item = self._search("in_progress", query)
        index = len(self._output)
        place = {"item_id": item["id"], "output_index": index}
        yield self._event("response.output_item.added", output_index=index, item=item)
        for state in ("in_progress", "searching", "completed"):
            yield self._event(f"response.web_search_call.{state}", **place)
        item = {**item, "status": "completed"}
        self._output.append(item)
        yield self._event("response.output_item.done", output_index=index, item=item)

    def _saying(self, shown: Iterable[str]) -> Iterator[bytes]:
        """One frame for each piece, the first with the beginning of the message, a citation with its annotation."""
        kind = "response.refusal.delta" if self.script.refusal else "response.output_text.delta"
        place = {"item_id": self._message_id, "output_index": len(self._output), "content_index": 0}
        # All but the number and the piece is the same in each: it is encoded once.
        head, between = self._framed(kind, {"sequence_number": "@", **place, "delta": ""}).split(b'"@"')
        between, tail = between.rsplit(b'""', 1)
        for index, piece in enumerate(shown):
            begin = self._begin()
            frame = self.commented(head + b"%d" % self._next() + between + encode(piece) + tail)
            if annotation := self._heed(piece):
                number = len(self._annotations) - 1
                frame += self._event(
                    "response.output_text.annotation.added",
                    **place,
                    annotation_index=number,
                    annotation=annotation,
                )
            if self.script.null and index % 3 == 1:
                frame += self._event(kind, **place, delta=None) + self._event("response.simulated", x=None)
            yield begin + frame

    def _begin(self) -> bytes:
        """The events that begin the message, once."""
        if self._begun:
            return b""
        self._begun = True
        index = len(self._output)
        return self._event(
            "response.output_item.added", output_index=index, item=self._message("in_progress", [])
        ) + self._event(
            "response.content_part.added",
            item_id=self._message_id,
            output_index=index,
            content_index=0,
            part=self._part(()),
        )

    def _heed(self, piece: str) -> dict[str, Any] | None:
        """Remember a piece of the text; the annotation that it calls for."""
        start = self._length
        self._texts.append(piece)
        self._length += len(piece)
        cited = self._cited.get(piece)
        if cited is None:
            return None
        annotation = {
            "type": "url_citation",
            "start_index": start + 1,
            "end_index": self._length,
            "url": cited.url,
            "title": cited.title,
        }
        self._annotations.append(annotation)
        return annotation

    # The items of the output.

    def _reasoning(self, thought: Sequence[str]) -> dict[str, Any]:
        summary = [{"type": "summary_text", "text": "".join(thought)}]
        return {"id": f"rs_{self._message_id[4:]}", "type": "reasoning", "summary": summary}

    def _search(self, status: str, query: str) -> dict[str, Any]:
        action = {"type": "search", "query": query}
        item_id = f"ws_{self._message_id[4:]}"
        return {"id": item_id, "type": "web_search_call", "status": status, "action": action}

    def _message(self, status: str, content: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        shared = {"id": self._message_id, "type": "message", "role": "assistant"}
        return {**shared, "status": status, "content": list(content)}

    def _part(self, shown: Sequence[str]) -> dict[str, Any]:
        if self.script.refusal:
            return {"type": "refusal", "refusal": "".join(shown)}
        annotations = list(self._annotations) if shown else []
        return {"type": "output_text", "text": "".join(shown), "annotations": annotations, "logprobs": []}

    # The response itself.

    def _status(self) -> str:
        return "incomplete" if self.script.finish_reason in _INCOMPLETE else "completed"

    def _response(self, status: str) -> dict[str, Any]:
        unknown = {"error": None, "incomplete_details": None, "usage": None}
        return {**self._header, "status": status, **unknown, "output": []}

    def _ended(self, output: Sequence[Mapping[str, Any]], tokens: int, thought: int) -> dict[str, Any]:
        ended = self._response(self._status()) | {"output": list(output)}
        if reason := _INCOMPLETE.get(self.script.finish_reason):
            ended["incomplete_details"] = {"reason": reason}
        if self.script.usage:
            ended["usage"] = {
                "input_tokens": self._prompt_tokens,
                "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
                "output_tokens": tokens + thought,
                "output_tokens_details": {"reasoning_tokens": thought},
                "total_tokens": self._prompt_tokens + tokens + thought,
            }
        self.final = ended
        return ended

    def _event(self, kind: str, **fields: Any) -> bytes:
        return self._framed(kind, {"sequence_number": self._next(), **fields})

    def _framed(self, kind: str, fields: Mapping[str, Any]) -> bytes:
        return b"event: " + kind.encode() + self.eol + self.block(encode({"type": kind, **fields}))

    def _next(self) -> int:
        number, self._number = self._number, self._number + 1
        return number


_FAILED = "The server had an error while processing your request. Sorry about that! (simulated)"
