# Sora. `make` lists what there is. HOST, PORT, WORKERS, URL, TOKEN and every SORA_ variable are honoured,
# from the environment or from the command line: make run PORT=9000 SORA_MODEL=gpt-4.1-mini

HOST      ?= 127.0.0.1
PORT      ?= 8000
WORKERS   ?= 2
URL       ?= http://$(HOST):$(PORT)
USER_NAME ?= 보라
TOKEN     ?=
LAST_ID   ?=
QUESTION  ?= 남은 연차는 다음 해로 이월되나요?
STOCK     ?= ABC-12345 부품의 재고는?
SESSION   ?= make
DOCS      ?= docs/samples
FILE      ?=
export TOKEN QUESTION STOCK SESSION FILE

PYTHON := .venv/bin/python
FLASK  := .venv/bin/flask --app wsgi
JSON   := $(PYTHON) -m json.tool --no-ensure-ascii
CURL    = curl -sS -N $(if $(TOKEN),-H "Authorization: Bearer $$TOKEN")
TYPE   := -H 'Content-Type: application/json'
HISTORY = [{"role":"user","content":"연차에 대해 물어볼게요."},{"role":"assistant","content":"네, 물어보세요."}]
DIARY   = {"body":"오늘은 비가 와서 하루 종일 창밖을 보았다. 조금 외로웠지만 차 한 잔이 따뜻했다.","type":"FEELING","reviewDate":"$(shell date +%F)"}

.DEFAULT_GOAL := help
.PHONY: help install app run token ingest simulate test lint bench quality servers clean
.PHONY: curl-review curl-dify curl-resume curl-cancel curl-runs curl-chat curl-chunks curl-ask curl-agent curl-agent-init curl-conversations curl-search

help: ## 이 목록 · this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-19s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: .venv/.installed ## 실행에 필요한 것을 .venv에 설치 · install what running needs into .venv

app: ## 브라우저용 앱을 만든다, 소스가 바뀌었을 때만 · build the app for browsers, when its sources have changed (needs npm)
	@.ci/npm
	@$(MAKE) -s --no-print-directory frontend/dist/index.html

run: .venv/.installed ## Sora를 실행, 키가 없으면 시뮬레이터와 함께 · run Sora, with the simulator when there is no key
	@if .ci/npm 2>/dev/null; then $(MAKE) -s --no-print-directory app || true; fi
	@exec $(FLASK) sora serve --host '$(HOST)' --port '$(PORT)' --workers '$(WORKERS)'

token: .venv/.installed ## USER_NAME의 접근 토큰 · an access token for USER_NAME (make -s token USER_NAME=보라)
	@$(FLASK) sora token --name '$(USER_NAME)'

ingest: .venv/.installed ## 지식 베이스에 문서를 넣는다 · put documents into the knowledge base (DOCS=…, else the samples)
	@$(FLASK) sora ingest $(DOCS)

simulate: .venv/.installed ## 모델 API 시뮬레이터만 실행 · run the simulator of a model API alone
	@exec $(FLASK) sora simulate

test: .venv/.installed-dev servers ## 모든 테스트 · all the tests
	@$(PYTHON) -m tests.run

lint: .venv/.installed-dev ## ruff, mypy, import-linter, tsc, eslint
	@.venv/bin/ruff check --config .ci/ruff.toml .
	@.venv/bin/ruff format --check --config .ci/ruff.toml .
	@.venv/bin/mypy
	@.venv/bin/lint-imports
	@if .ci/npm; then $(MAKE) -s --no-print-directory frontend/node_modules/.installed && cd frontend && npm run -s lint; else [ "$$CI" != true ]; fi

bench: .venv/.installed ## 성능 측정 · measure the performance (QUICK=1, ONLY=…, PROFILE=1: bench/README.md)
	@exec bench/run

quality: .venv/.installed ## 검색과 주제 전환의 정확도 · how well it retrieves, and notices a change of topic
	@$(PYTHON) -m bench.quality

curl-review: ## 일기를 보내고 답을 지켜본다 · send a diary, watch the answer arrive (TOKEN=… when SORA_AUTH=required)
	$(CURL) $(TYPE) -d '$(DIARY)' '$(URL)/stream/review?ids=1'

curl-dify: ## 같은 일기를 Dify 앱에 보낸다 · send the diary to a Dify app (SORA_DIFY_…; make run simulates one)
	$(CURL) $(TYPE) -d '$(DIARY)' '$(URL)/stream/review/dify?ids=1'

curl-resume: ## 끊긴 곳부터 이어 받는다 · get the rest after an event: make curl-resume LAST_ID=<run>:<epoch>-<seq>
	@test -n '$(LAST_ID)' || { echo "LAST_ID=<run>:<epoch>-<seq> 가 필요합니다 · is needed" >&2; exit 2; }
	$(CURL) -H 'Last-Event-ID: $(LAST_ID)' '$(URL)/api/runs/$(firstword $(subst :, ,$(LAST_ID)))/events'

curl-cancel: .venv/.installed ## 생성을 시작했다가 멈춘다 · start a run, watch it for half a second, cancel it
	@set -e; \
	echo "POST $(URL)/api/runs"; \
	answer=$$($(CURL) $(TYPE) -d '{"kind":"review","input":$(DIARY)}' '$(URL)/api/runs'); \
	echo "$$answer" | $(JSON); \
	run=$$(echo "$$answer" | $(PYTHON) -c 'import json, sys; print(json.load(sys.stdin)["id"])'); \
	echo "GET $(URL)/api/runs/$$run/events"; \
	$(CURL) --max-time 0.5 "$(URL)/api/runs/$$run/events" 2>/dev/null || true; \
	echo; echo "POST $(URL)/api/runs/$$run/cancel"; \
	$(CURL) -X POST "$(URL)/api/runs/$$run/cancel" | $(JSON); \
	echo "GET $(URL)/api/runs/$$run/events … (the end)"; \
	$(CURL) --max-time 30 "$(URL)/api/runs/$$run/events" | tail -n 4; \
	echo "GET $(URL)/api/runs/$$run"; \
	$(CURL) "$(URL)/api/runs/$$run" | $(JSON)

curl-chat: ## 질문하고 답을 지켜본다 · ask by EventSource's GET /chat, watch the answer arrive (QUESTION=…)
	$(CURL) -G --data-urlencode "query=$$QUESTION" '$(URL)/chat'

curl-chunks: ## 대화를 이어서 묻는다 · ask with a history, in chunks: GET /api/chat/stream (QUESTION=…)
	$(CURL) -G --data-urlencode "message=$$QUESTION" --data-urlencode 'history=$(HISTORY)' '$(URL)/api/chat/stream'

curl-ask: ## 파일과 함께 묻는다 · ask about a file and the knowledge base, references at the end (QUESTION=… FILE=… SESSION=…)
	$(CURL) -F "question=$$QUESTION" -F "sessionId=$$SESSION" $(if $(FILE),-F "files=@$$FILE") '$(URL)/api/ask'

curl-agent: ## 에이전트에게 묻는다 · ask the agent: its stages, its answer, table and chart (STOCK=…)
	$(CURL) -X POST '$(URL)/api/chat/stream' $(TYPE) -d "{\"message\": \"$$STOCK\", \"user_id\": \"user123\"}"

curl-agent-init: .venv/.installed ## 티켓을 받아 에이전트를 지켜본다 · start the agent, follow it by its ticket, as an EventSource would (STOCK=…)
	@set -e; \
	echo "POST $(URL)/api/chat/stream/init"; \
	answer=$$($(CURL) $(TYPE) -d "{\"message\": \"$$STOCK\", \"user_id\": \"user123\"}" '$(URL)/api/chat/stream/init'); \
	ticket=$$(echo "$$answer" | $(PYTHON) -c 'import json, sys; print(json.load(sys.stdin)["id"])'); \
	echo "GET $(URL)/api/chat/stream/<ticket>"; \
	curl -sS -N "$(URL)/api/chat/stream/$$ticket"

curl-conversations: .venv/.installed ## 내 대화 목록 · list one's conversations
	$(CURL) '$(URL)/api/conversations' | $(JSON)

curl-search: .venv/.installed ## 지식 베이스에서 찾는다 · search the knowledge base (QUESTION=…; fill it with: make ingest)
	$(CURL) -G --data-urlencode "q=$$QUESTION" '$(URL)/api/search' | $(JSON)

curl-runs: .venv/.installed ## 내 생성 목록 · list one's runs
	$(CURL) '$(URL)/api/runs' | $(JSON)

clean: ## .venv와 캐시를 지운다, instance/는 남긴다 · remove .venv and caches; instance/ stays
	@rm -rf .venv build dist frontend/dist frontend/lib frontend/node_modules *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -not -path './node_modules/*' -prune -exec rm -rf {} +

servers:
	@.ci/servers

# What installs is quiet: the output of `make token` is the token alone.
.venv/.installed: requirements.txt setup.cfg pyproject.toml
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 이상이 필요합니다 · or newer is needed" >&2; exit 1; }
	@echo "Python 패키지를 .venv에 설치합니다 · installing Python packages into .venv" >&2
	@python3 -m venv .venv >&2
	@$(PYTHON) -m pip install -qq --disable-pip-version-check --no-input -r requirements.txt >&2
	@$(PYTHON) -m pip install -qq --disable-pip-version-check --no-input --no-deps -e . >&2
	@touch $@

.venv/.installed-dev: requirements-dev.txt .venv/.installed
	@echo "개발 도구를 .venv에 설치합니다 · installing development tools into .venv" >&2
	@$(PYTHON) -m pip install -qq --disable-pip-version-check --no-input -r requirements-dev.txt >&2
	@touch $@

frontend/node_modules/.installed: frontend/package-lock.json
	@echo "npm 패키지를 frontend/node_modules에 설치합니다 · installing npm packages into frontend/node_modules" >&2
	@cd frontend && npm ci --silent --no-audit --no-fund >&2
	@touch $@

# A folder is newer than what is built, too, when something was taken out of it.
frontend/dist/index.html: frontend/node_modules/.installed $(shell find frontend/src frontend/public frontend/index.html frontend/vite.config.ts 2>/dev/null)
	@echo "앱을 frontend/dist에 만듭니다 · building the app into frontend/dist" >&2
	@cd frontend && npm run -s build -- --logLevel warn >&2
