// A load client that costs almost nothing: one thread, epoll, 127.0.0.1 only.
//
//   client PORT REQUEST_FILE AT_ONCE TOTAL RAMP_S TIMEOUT_S FIRST LAST WORDS ENOUGH FROM_US TO_US
//
// Sends the bytes of REQUEST_FILE TOTAL times, each on a connection of its own, AT_ONCE at a time, the first ones spread over
// RAMP_S seconds. Of every response it takes the body apart (chunked or to the end of the connection), finds the tokens (text.h)
// in whatever frames the relay makes of them, and checks that FIRST, FIRST + 1, ... LAST - 1 are there, once and in order; with
// WORDS=1 also that each has its word, as UTF-8 or in JSON's escapes. With ENOUGH=1 a stream is over with its last token.
//
// Prints one line of JSON: how many streams were whole, what went wrong with the others, and microseconds to the first token,
// and of latency added since the model wrote the token, for the tokens that arrive between FROM_US and TO_US (CLOCK_MONOTONIC).
#define _GNU_SOURCE
#include "text.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct {
    float *values;
    size_t count, cap;
} Series;

enum { OUTSIDE, BRACKET, K, NUMBER, STAMP, WORD };

typedef struct {
    int fd, sent, over, code, body, chunked, next, wrong;
    char head[4096];
    int head_len;
    int chunk; // 0: in the chunk's size, 1: in its bytes, 2: in the line end after it
    long left;
    char size[20];
    int size_len;
    int state;
    uint64_t number, stamp, began;
    char text[160];
    int text_len;
} Stream;

static int first, last, words, enough;
static uint64_t from, to, now;
static int poller, live;
static Series to_first, added;
static unsigned long long tokens, in_window, bytes;
static long whole, failed_connect, failed_status, failed_order, failed_short, failed_timeout, codes[600];

static void record(Series *s, double value) {
    if (s->count == s->cap) {
        s->cap = s->cap * 2 + 65536;
        s->values = realloc(s->values, s->cap * sizeof *s->values);
    }
    s->values[s->count++] = (float)value;
}

static int ascending(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static void print(const char *name, Series *s) {
    const double at[] = {.5, .9, .99, 1};
    const char *label[] = {"p50", "p90", "p99", "max"};
    qsort(s->values, s->count, sizeof *s->values, ascending);
    printf(", \"%s\": {\"count\": %zu", name, s->count);
    for (int i = 0; i < 4; i++)
        printf(", \"%s\": %.0f", label[i], s->count ? s->values[(size_t)(at[i] * (double)(s->count - 1) + .5)] : -1.0);
    printf("}");
}

static int hex4(const char *p) {
    char digits[5] = {p[0], p[1], p[2], p[3], 0};
    return (int)strtol(digits, NULL, 16);
}

// JSON's \uXXXX escapes as UTF-8, in place.
static void unescape(char *text) {
    unsigned char *out = (unsigned char *)text;
    for (char *p = text; *p;) {
        if (p[0] != '\\' || p[1] != 'u' || strlen(p) < 6) {
            *out++ = (unsigned char)*p++;
            continue;
        }
        unsigned c = hex4(p + 2);
        p += 6;
        if (c >= 0xd800 && c < 0xdc00 && p[0] == '\\' && p[1] == 'u' && strlen(p) >= 6) {
            c = 0x10000 + ((c - 0xd800) << 10) + (hex4(p + 2) - 0xdc00);
            p += 6;
        }
        if (c >= 0x10000) *out++ = 0xf0 | c >> 18, *out++ = 0x80 | (c >> 12 & 63), *out++ = 0x80 | (c >> 6 & 63);
        else if (c >= 0x800) *out++ = 0xe0 | c >> 12, *out++ = 0x80 | (c >> 6 & 63);
        else if (c >= 0x80) *out++ = 0xc0 | c >> 6;
        *out++ = c < 0x80 ? c : 0x80 | (c & 63);
    }
    *out = 0;
}

static void token(Stream *s) {
    s->text[s->text_len] = 0;
    if (words) unescape(s->text);
    if ((int)s->number != s->next || strcmp(s->text, words ? word[s->number % WORDS] : "")) s->wrong = 1;
    if (s->next++ == first) record(&to_first, (double)(now - s->began));
    tokens++;
    if (now < from || now >= to) return;
    in_window++;
    record(&added, (double)now - (double)s->stamp);
}

static void scan(Stream *s, const char *p, const char *end) {
    while (p < end) {
        if (s->state == OUTSIDE) {
            p = memchr(p, '[', end - p);
            if (!p) return;
        }
        char c = *p++;
        int digit = c >= '0' && c <= '9';
        switch (s->state) {
        case OUTSIDE: s->state = BRACKET; break;
        case BRACKET: s->state = c == 'k' ? K : OUTSIDE; break;
        case K:
            s->state = c == ':' ? NUMBER : OUTSIDE;
            s->number = s->stamp = 0;
            s->text_len = 0;
            break;
        case NUMBER:
            if (digit) s->number = s->number * 10 + (c - '0');
            else s->state = c == ':' ? STAMP : OUTSIDE;
            break;
        case STAMP:
            if (digit) {
                s->stamp = s->stamp * 10 + (c - '0');
                break;
            }
            s->state = c == ':' ? WORD : OUTSIDE;
            if (c == ']') token(s);
            break;
        case WORD:
            if (c == ']') {
                s->state = OUTSIDE;
                token(s);
            } else if (s->text_len < (int)sizeof s->text - 1) s->text[s->text_len++] = c;
        }
    }
}

// The head of the response, as far as it is here; how many of the bytes belong to it, -1 if it never ends.
static int read_head(Stream *s, const char *p, int count) {
    int room = (int)sizeof s->head - 1 - s->head_len, taken = count < room ? count : room, before = s->head_len;
    memcpy(s->head + before, p, taken);
    s->head_len += taken;
    s->head[s->head_len] = 0;
    char *end = strstr(s->head, "\r\n\r\n");
    if (!end) return taken < count ? -1 : count;
    s->body = 1;
    s->code = atoi(s->head + 9);
    s->chunked = strcasestr(s->head, "\ntransfer-encoding: chunked") != NULL;
    return (int)(end - s->head) + 4 - before;
}

// True when the response is over.
static int feed(Stream *s, const char *p, int count) {
    bytes += count;
    if (!s->body) {
        int head = read_head(s, p, count);
        if (head < 0) return s->wrong = 1;
        p += head;
        count -= head;
    }
    if (s->body && s->code != 200) return 1;
    const char *end = p + count;
    if (!s->chunked) scan(s, p, end);
    else
        while (p < end) {
            if (s->chunk == 0) {
                char c = *p++;
                if (c != '\n') {
                    if (s->size_len < (int)sizeof s->size - 1) s->size[s->size_len++] = c;
                    continue;
                }
                s->size[s->size_len] = 0;
                s->size_len = 0;
                s->left = strtol(s->size, NULL, 16);
                if (!s->left) return 1;
                s->chunk = 1;
            } else if (s->chunk == 1) {
                long here = end - p < s->left ? end - p : s->left;
                scan(s, p, p + here);
                p += here;
                s->left -= here;
                if (!s->left) s->chunk = 2;
            } else if (*p++ == '\n') s->chunk = 0;
        }
    return enough && s->next == last;
}

static void finish(Stream *s, long *failure) {
    close(s->fd);
    live--;
    s->over = 1;
    if (!failure && s->code != 200) {
        failure = &failed_status;
        if (s->code >= 0 && s->code < 600) codes[s->code]++;
    }
    if (!failure && s->wrong) failure = &failed_order;
    if (!failure && s->next != last) failure = &failed_short;
    ++*(failure ? failure : &whole);
}

static Stream *start(int port) {
    Stream *s = calloc(1, sizeof *s);
    s->next = first;
    s->began = now_us();
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    int on = 1;
    setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    live++;
    if (s->fd < 0 || (connect(s->fd, (void *)&address, sizeof address) && errno != EINPROGRESS)) {
        finish(s, &failed_connect);
        return s;
    }
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT, .data.ptr = s};
    epoll_ctl(poller, EPOLL_CTL_ADD, s->fd, &e);
    return s;
}

static void serve(Stream *s, uint32_t events, const char *request, int len) {
    static char buffer[1 << 18];
    if (s->over) return;
    if (!s->sent) {
        if (!(events & EPOLLOUT) || send(s->fd, request, len, MSG_NOSIGNAL) != len) {
            finish(s, &failed_connect);
            return;
        }
        s->sent = 1;
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = s};
        epoll_ctl(poller, EPOLL_CTL_MOD, s->fd, &e);
        return;
    }
    ssize_t got = recv(s->fd, buffer, sizeof buffer, 0);
    now = now_us();
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) finish(s, s->body ? NULL : &failed_connect);
    else if (feed(s, buffer, (int)got)) finish(s, NULL);
}

int main(int argc, char **argv) {
    if (argc != 13) return fprintf(stderr, "client: see the top of client.c\n"), 2;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGPIPE, SIG_IGN);
    int port = atoi(argv[1]), at_once = atoi(argv[3]), total = atoi(argv[4]);
    double ramp = atof(argv[5]) * 1e6, timeout = atof(argv[6]) * 1e6;
    first = atoi(argv[7]), last = atoi(argv[8]), words = atoi(argv[9]), enough = atoi(argv[10]);
    from = strtoull(argv[11], NULL, 10), to = strtoull(argv[12], NULL, 10);
    static char request[1 << 16];
    FILE *file = fopen(argv[2], "rb");
    if (!file) return perror(argv[2]), 1;
    int len = (int)fread(request, 1, sizeof request, file);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    poller = epoll_create1(0);
    static struct epoll_event ready[512];
    Stream **all = calloc(total, sizeof *all);
    int started = 0, peak = 0;
    uint64_t began = now_us();
    for (;;) {
        now = now_us();
        if ((double)(now - began) > timeout) {
            for (int i = 0; i < started; i++)
                if (!all[i]->over) finish(all[i], &failed_timeout);
            failed_timeout += total - started;
            break;
        }
        int ramping = ramp > 0 && started < at_once;
        while (started < total && live < at_once) {
            if (ramping && (double)(now - began) < ramp * started / at_once) break;
            all[started++] = start(port);
            ramping = ramp > 0 && started < at_once;
        }
        if (live > peak) peak = live;
        if (started == total && live == 0) break;
        int count = epoll_wait(poller, ready, 512, ramping ? 1 : 100);
        now = now_us();
        for (int i = 0; i < count; i++) serve(ready[i].data.ptr, ready[i].events, request, len);
    }
    printf("{\"seconds\": %.4f, \"total\": %d, \"whole\": %ld, \"peak\": %d, \"tokens\": %llu, \"in_window\": %llu, \"bytes\": %llu",
           (double)(now_us() - began) / 1e6, total, whole, peak, tokens, in_window, bytes);
    printf(", \"failed\": {\"connect\": %ld, \"status\": %ld, \"order\": %ld, \"short\": %ld, \"timeout\": %ld", failed_connect,
           failed_status, failed_order, failed_short, failed_timeout);
    for (int i = 0; i < 600; i++)
        if (codes[i]) printf(", \"%d\": %ld", i, codes[i]);
    printf("}");
    print("to_first", &to_first);
    print("added", &added);
    printf("}\n");
    return 0;
}
