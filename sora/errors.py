"""Every error of Sora: one tree, stable codes, words for people in Korean and English.

    SoraError
    ├── RequestError            answered before the first byte, with an HTTP status
    │   ├── InvalidRequest      400 invalid_request (details name the fields)
    │   ├── Unauthorized        401 unauthorized
    │   ├── Forbidden           403 forbidden
    │   ├── NotFound            404 not_found
    │   ├── MethodNotAllowed    405 method_not_allowed
    │   ├── Conflict            409 conflict (an Idempotency-Key reused with another body)
    │   ├── RunActive           409 run_active
    │   ├── ConversationBusy    409 conversation_busy
    │   ├── TooLarge            413 too_large
    │   ├── UnsupportedMedia    415 unsupported_media_type
    │   ├── UnreadableFile      400 unreadable_file (or 413, 415 with the codes above; details name the file)
    │   ├── RateLimited         429 rate_limited
    │   ├── TooManyRuns         429 too_many_runs
    │   ├── Overloaded          503 overloaded
    │   └── Draining            503 draining
    ├── RunError                ends a run, as its terminal error event
    │   ├── UpstreamError       upstream_error
    │   ├── UpstreamTimeout     upstream_timeout
    │   ├── UpstreamRateLimited upstream_rate_limited
    │   ├── ContentFilter       content_filter
    │   ├── Interrupted         interrupted
    │   └── Internal            internal (also a 500)
    ├── LogError                inside the engine
    │   ├── StaleEpoch          another worker owns the run now
    │   ├── LogEnded            an append after the terminal event
    │   └── LogExpired          the log is gone; what was saved remains
    ├── StoreError              the database did not answer
    └── ConfigError             a setting that cannot be used

Upstream texts, keys and stack traces never become part of a message.
"""

from __future__ import annotations

from collections.abc import Sequence

Details = Sequence[dict[str, str]]


class SoraError(Exception):
    """Base of all. `code` is stable; `retryable` says whether the same request may succeed later."""

    code = "internal"
    status = 500
    retryable = False


class RequestError(SoraError):
    """Refuses a request. `reason` is a key of MESSAGES that says more than the code does; `details` name fields."""

    def __init__(self, reason: str = "", *, details: Details = (), retry_after: float | None = None) -> None:
        super().__init__(reason or self.code)
        self.reason = reason or self.code
        self.details = list(details)
        self.retry_after = retry_after

    def told(self, locale: str) -> Details:
        """The details in the words of `ko` or `en`, as far as they are known only where the answer is made."""
        return self.details


class InvalidRequest(RequestError):
    code, status = "invalid_request", 400


class Unauthorized(RequestError):
    code, status = "unauthorized", 401


class Forbidden(RequestError):
    code, status = "forbidden", 403


class NotFound(RequestError):
    code, status = "not_found", 404


class MethodNotAllowed(RequestError):
    code, status = "method_not_allowed", 405


class Conflict(RequestError):
    code, status = "conflict", 409


class RunActive(RequestError):
    code, status = "run_active", 409


class ConversationBusy(RequestError):
    """`run_id` is the run under way."""

    code, status, retryable = "conversation_busy", 409, True

    def __init__(self, run_id: str = "") -> None:
        super().__init__()
        self.run_id = run_id


class TooLarge(RequestError):
    code, status = "too_large", 413


class UnsupportedMedia(RequestError):
    code, status = "unsupported_media_type", 415


class UnreadableFile(RequestError):
    """A file that came with a request cannot be read: `why` is a key of MESSAGES, `values` its numbers, `name` the file's.

    What is too large is a TooLarge to a client, and what no reader is there for an UnsupportedMedia; the rest is a 400."""

    code, status = "unreadable_file", 400

    def __init__(self, why: str, *, name: str = "", **values: int) -> None:
        super().__init__("unreadable_file")
        self.why, self.name, self.values = why, name, values
        for kind, reasons in _FILE_STATUS.items():
            if why in reasons:
                self.code, self.status = kind.code, kind.status

    def told(self, locale: str) -> Details:
        words = message(self.why, locale, **self.values)
        return [{"field": "files", "message": f"{self.name}: {words}" if self.name else words}]


_FILE_STATUS: dict[type[RequestError], frozenset[str]] = {
    TooLarge: frozenset(
        {"file_count", "file_size", "file_text", "file_pages", "file_cells", "file_unpacked", "file_costly"}
    ),
    UnsupportedMedia: frozenset({"file_type", "file_disguised", "file_old_office"}),
}


class RateLimited(RequestError):
    code, status, retryable = "rate_limited", 429, True


class TooManyRuns(RequestError):
    code, status, retryable = "too_many_runs", 429, True


class Overloaded(RequestError):
    code, status, retryable = "overloaded", 503, True


class Draining(RequestError):
    code, status, retryable = "draining", 503, True


class RunError(SoraError):
    """Ends a run; what was produced so far is kept. The argument is for our own log, never for a client."""


class UpstreamError(RunError):
    code, retryable = "upstream_error", True


class UpstreamTimeout(RunError):
    code, retryable = "upstream_timeout", True


class UpstreamRateLimited(RunError):
    code, retryable = "upstream_rate_limited", True


class ContentFilter(RunError):
    code = "content_filter"


class Interrupted(RunError):
    code, retryable = "interrupted", True


class Internal(RunError):
    code = "internal"


class LogError(SoraError):
    pass


class StaleEpoch(LogError):
    pass


class LogEnded(LogError):
    pass


class LogExpired(LogError):
    pass


class StoreError(SoraError):
    """The database did not answer, or lost the connection; whether a commit happened is not known."""

    code, status, retryable = "overloaded", 503, True


class ConfigError(SoraError):
    pass


# (Korean, English). Keys are the codes, and reasons that say more than a code does.
MESSAGES: dict[str, tuple[str, str]] = {
    "invalid_request": ("요청이 올바르지 않습니다.", "The request is not valid."),
    "unauthorized": ("로그인이 필요합니다.", "Please sign in."),
    "token_expired": (
        "로그인이 만료되었습니다. 다시 로그인해 주세요.",
        "Your sign-in has expired. Please sign in again.",
    ),
    "token_invalid": ("인증 토큰이 올바르지 않습니다.", "The access token is not valid."),
    "token_refresh": ("리프레시 토큰으로는 접근할 수 없습니다.", "A refresh token is not an access token."),
    "forbidden": ("허용되지 않은 요청입니다.", "This is not allowed."),
    "origin_forbidden": ("이 출처에서는 변경할 수 없습니다.", "Changes are not allowed from this origin."),
    "not_found": ("찾을 수 없습니다.", "Not found."),
    "dify_missing": (
        "Dify 앱이 설정되어 있지 않습니다. (SORA_DIFY_BASE_URL, SORA_DIFY_KEY_T, SORA_DIFY_KEY_F)",
        "No Dify app is configured (SORA_DIFY_BASE_URL, SORA_DIFY_KEY_T, SORA_DIFY_KEY_F).",
    ),
    "method_not_allowed": ("허용되지 않은 메서드입니다.", "This method is not allowed here."),
    "conflict": (
        "같은 Idempotency-Key가 다른 요청에 쓰였습니다.",
        "This Idempotency-Key was used with another request.",
    ),
    "run_active": ("아직 진행 중인 실행입니다.", "This run has not ended yet."),
    "conversation_busy": (
        "이 대화에서 아직 답변이 진행 중입니다.",
        "An answer is still under way in this conversation.",
    ),
    "not_repeatable": (
        "이 실행은 여기서 다시 시작할 수 없습니다. 처음 요청을 다시 보내 주세요.",
        "This run cannot be started again from here. Please send its first request again.",
    ),
    "too_large": ("요청이 너무 큽니다.", "The request is too large."),
    "unsupported_media_type": (
        "지원하지 않는 형식입니다. JSON으로 보내 주세요.",
        "This content type is not supported. Please send JSON.",
    ),
    "rate_limited": (
        "요청이 너무 잦습니다. 잠시 후 다시 시도해 주세요.",
        "Too many requests. Please try again shortly.",
    ),
    "too_many_runs": ("동시에 진행할 수 있는 수를 넘었습니다.", "You have too many runs under way."),
    "overloaded": (
        "지금은 요청이 많습니다. 잠시 후 다시 시도해 주세요.",
        "The service is busy. Please try again shortly.",
    ),
    "draining": (
        "서버를 교체하는 중입니다. 잠시 후 다시 시도해 주세요.",
        "The server is restarting. Please try again shortly.",
    ),
    "upstream_error": ("AI 모델이 응답하지 못했습니다.", "The model could not answer."),
    "upstream_timeout": ("AI 모델의 응답 시간이 초과되었습니다.", "The model took too long to answer."),
    "upstream_rate_limited": (
        "AI 모델의 사용량 한도를 넘었습니다. 잠시 후 다시 시도해 주세요.",
        "The model is over its limit. Please try again shortly.",
    ),
    "content_filter": (
        "콘텐츠 정책에 따라 답변이 중단되었습니다.",
        "The answer was stopped by the content filter.",
    ),
    "interrupted": (
        "답변이 중단되었습니다. 받은 내용은 저장되었습니다.",
        "The answer was interrupted. What had arrived is kept.",
    ),
    "cancelled": ("취소되었습니다.", "Cancelled."),
    "internal": ("서버에 문제가 생겼습니다.", "Something went wrong on the server."),
    "ask_files": ("파일 분석 중", "Reading the files"),
    "ask_search": ("자료 찾는 중", "Looking for material"),
    "ask_answer": ("답변을 생각 중이에요", "Thinking about the answer"),
    "ask_about_files": (
        "첨부한 파일의 내용을 설명해 주세요.",
        "Please describe what the attached files hold.",
    ),
    "agent_message": ("메시지가 필요합니다.", "A message is needed."),
    "query_analysis": ("질문 분석 중...", "Reading the question..."),
    "query_analysis_done": ("질문 분석 완료", "The question is read."),
    "data_retrieval": ("자료 검색 중...", "Looking for the data..."),
    "data_retrieval_done": ("자료 검색 완료", "The data is there."),
    "table_too_large": (
        "‘{title}’ 표는 행이 너무 많아 계산하지 못했습니다. 아래는 찾은 글에 따른 답입니다.",
        "The table {title} has too many rows to be computed. What follows rests on the texts that were found.",
    ),
    "response_generation": ("답변 생성 중...", "Writing the answer..."),
    "response_generation_done": ("답변 생성 완료", "The answer is written."),
    "saving": ("저장하는 중입니다.", "Saving."),
    "retrying": ("다시 시도하는 중입니다.", "Trying again."),
    "web_searching": ("웹 찾아보는 중입니다.", "Searching the web."),
    "field_required": ("필수 항목입니다.", "is required."),
    "field_text": ("문자열이어야 합니다.", "must be a text."),
    "field_object": ("JSON 객체여야 합니다.", "must be a JSON object."),
    "field_list": ("JSON 배열이어야 합니다.", "must be a JSON list."),
    "field_many": ("{high}개를 넘을 수 없습니다.", "must not have more than {high} entries."),
    "field_name": (
        "1–128자여야 하며 /나 제어 문자를 쓸 수 없습니다.",
        "must be 1 to 128 characters, without / and control characters.",
    ),
    "field_empty": ("비어 있습니다.", "must not be empty."),
    "field_long": ("너무 깁니다.", "is too long."),
    "field_characters": ("쓸 수 없는 문자가 있습니다.", "has characters that cannot be used."),
    "field_choice": ("허용된 값이 아닙니다: {choices}", "must be one of: {choices}"),
    "field_date": ("YYYY-MM-DD 형식의 날짜여야 합니다.", "must be a date, YYYY-MM-DD."),
    "field_number": ("숫자여야 합니다.", "must be a number."),
    "field_flag": ("true 또는 false여야 합니다.", "must be true or false."),
    "field_twice": ("한 번만 보낼 수 있습니다.", "must be given once only."),
    "field_file": ("파일이어야 합니다.", "must be a file."),
    "field_range": ("{low}에서 {high} 사이여야 합니다.", "must be between {low} and {high}."),
    "field_key": ("공백 없는 ASCII 문자 1–255자여야 합니다.", "must be 1 to 255 visible ASCII characters."),
    "field_unknown": ("알 수 없는 값입니다.", "is not known."),
    "field_cursor": ("올바른 이벤트 ID가 아닙니다.", "is not an event id of this run."),
    "unreadable_file": ("파일을 읽을 수 없습니다.", "A file could not be read."),
    "file_empty": ("빈 파일입니다.", "is empty."),
    "file_broken": ("손상되었거나 끝까지 오지 않은 파일입니다.", "is damaged or incomplete."),
    "file_encrypted": (
        "암호가 걸려 있습니다. 암호를 풀어서 다시 보내 주세요.",
        "is protected by a password. Please remove it and send the file again.",
    ),
    "file_no_text": (
        "글자가 없습니다. 스캔한 문서라면 이미지로 보내 주세요.",
        "has no text in it. Please send a scanned document as images.",
    ),
    "file_type": (
        (
            "읽을 수 없는 형식입니다. 텍스트, Markdown, CSV, TSV, JSON, HTML, PDF, DOCX, XLSX와 "
            "PNG, JPEG, WebP, GIF 이미지를 읽습니다."
        ),
        (
            "is of a kind that cannot be read. What can be: text, Markdown, CSV, TSV, JSON, HTML, PDF, DOCX, XLSX, "
            "and PNG, JPEG, WebP and GIF images."
        ),
    ),
    "file_old_office": (
        "옛 Office 또는 한글 문서입니다. DOCX, XLSX나 PDF로 저장해서 보내 주세요.",
        "is an old Office or HWP document. Please save it as DOCX, XLSX or PDF.",
    ),
    "file_disguised": ("이름의 확장자와 내용이 다릅니다.", "is not what the ending of its name says."),
    "file_depth": ("{high}단계보다 깊은 JSON입니다.", "is JSON nested deeper than {high} levels."),
    "file_count": (
        "파일은 한 번에 {high}개까지 보낼 수 있습니다.",
        "At most {high} files can be sent at once.",
    ),
    "file_size": ("{high}바이트보다 큰 파일입니다.", "is larger than {high} bytes."),
    "file_text": ("글자 수가 {high}자를 넘습니다.", "holds more than {high} characters."),
    "file_pages": ("{high}쪽이 넘습니다.", "has more than {high} pages."),
    "file_cells": ("표의 셀이 {high}개를 넘습니다.", "has tables of more than {high} cells."),
    "file_unpacked": (
        "압축을 풀면 지나치게 커지는 파일입니다.",
        "grows beyond all measure when it is unpacked.",
    ),
    "file_costly": (
        "읽는 데 시간이나 메모리가 너무 많이 듭니다.",
        "takes too much time or memory to read.",
    ),
    "bad_body": ("요청 본문이 온전히 도착하지 않았습니다.", "The body did not arrive whole."),
    "bad_form": ("multipart 본문을 읽을 수 없습니다.", "The body is not a valid multipart form."),
    "bad_json": ("JSON을 읽을 수 없습니다.", "The body is not valid JSON."),
}


def message(key: str, locale: str, **values: object) -> str:
    """The words for a code or reason in `ko` or `en`; an unknown key speaks as `internal`."""
    korean, english = MESSAGES.get(key) or MESSAGES["internal"]
    return (korean if locale == "ko" else english).format(**values)
