// A model API that costs almost nothing: one thread, epoll, 127.0.0.1 only.
//
//   upstream PORT
//
// Any POST whose body holds "sim-n<N>-d<ms>" is answered by N tokens as chat.completion.chunk events (chunked), one every
// <ms> milliseconds, or as fast as the socket takes them when ms is 0. More options, in this order, all optional:
// "-h<ms>" holds the stream open that long after the last token; "-w" adds a word that is not ASCII to each token.
// The end of the process that started it ends this one.
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

#define MAX_FD 65536
#define MAX_REQUEST (1 << 20)
#define BURST 64 // tokens of an unpaced stream before the next stream has its turn
#define NOT_QUEUED (-1)

typedef struct {
    int fd, writable; // writable: EPOLLOUT is asked for
    char *in;
    int in_len, in_cap;
    char *out;
    int out_len, out_off, out_cap;
    int active, tokens, next, words; // next: -1 is the opening chunk, `tokens` the closing ones
    uint64_t gap, hold, due;         // microseconds
    int place;                       // in the queue
} Stream;

static int poller;
static Stream *streams[MAX_FD];
static Stream *queue[MAX_FD]; // a heap, the earliest due first
static int queued;
static long created;

static void put(int place, Stream *s) {
    queue[place] = s;
    s->place = place;
}

static void sift_up(int i) {
    Stream *s = queue[i];
    for (; i && queue[(i - 1) / 2]->due > s->due; i = (i - 1) / 2) put(i, queue[(i - 1) / 2]);
    put(i, s);
}

static void sift_down(int i) {
    Stream *s = queue[i];
    for (int child; (child = 2 * i + 1) < queued; i = child) {
        if (child + 1 < queued && queue[child + 1]->due < queue[child]->due) child++;
        if (queue[child]->due >= s->due) break;
        put(i, queue[child]);
    }
    put(i, s);
}

static void enqueue(Stream *s) {
    put(queued++, s);
    sift_up(s->place);
}

static void dequeue(Stream *s) {
    int i = s->place;
    if (i == NOT_QUEUED) return;
    s->place = NOT_QUEUED;
    if (i == --queued) return;
    put(i, queue[queued]);
    sift_down(i);
    sift_up(i);
}

static void drop(Stream *s) {
    dequeue(s);
    streams[s->fd] = NULL;
    close(s->fd);
    free(s->in);
    free(s->out);
    free(s);
}

static void want_writable(Stream *s, int wanted) {
    if (s->writable == wanted) return;
    s->writable = wanted;
    struct epoll_event e = {.events = EPOLLIN | (wanted ? EPOLLOUT : 0), .data.fd = s->fd};
    epoll_ctl(poller, EPOLL_CTL_MOD, s->fd, &e);
}

// 1: all is out; 0: the socket is full; -1: the peer is gone.
static int flush(Stream *s) {
    while (s->out_off < s->out_len) {
        ssize_t sent = send(s->fd, s->out + s->out_off, s->out_len - s->out_off, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0) {
            if (errno != EAGAIN) return -1;
            want_writable(s, 1);
            return 0;
        }
        s->out_off += (int)sent;
    }
    s->out_off = s->out_len = 0;
    return 1;
}

static void add(Stream *s, const char *bytes, int len) {
    if (s->out_len + len > s->out_cap) {
        s->out_cap = (s->out_len + len) * 2 + 1024;
        s->out = realloc(s->out, s->out_cap);
    }
    memcpy(s->out + s->out_len, bytes, len);
    s->out_len += len;
}

static void add_chunk(Stream *s, const char *bytes, int len) {
    char size[16];
    add(s, size, sprintf(size, "%x\r\n", len));
    add(s, bytes, len);
    add(s, "\r\n", 2);
}

static void add_event(Stream *s, const char *choices, const char *usage) {
    char event[2048];
    int len = sprintf(event,
                      "data: {\"id\":\"chatcmpl-CFakeAbCdEfGhIjKlMnOpQrStUvWx\",\"object\":\"chat.completion.chunk\","
                      "\"created\":%ld,\"model\":\"gpt-4o-mini-2024-07-18\",\"service_tier\":\"default\","
                      "\"system_fingerprint\":\"fp_560af6e559\",\"choices\":[%s],\"usage\":%s}\n\n",
                      created, choices, usage);
    add_chunk(s, event, len);
}

static void add_choice(Stream *s, const char *delta, const char *finish_reason) {
    char choice[1024];
    sprintf(choice, "{\"index\":0,\"delta\":%s,\"logprobs\":null,\"finish_reason\":%s}", delta, finish_reason);
    add_event(s, choice, "null");
}

static void add_end(Stream *s) {
    char usage[512];
    sprintf(usage,
            "{\"prompt_tokens\":12,\"completion_tokens\":%d,\"total_tokens\":%d,\"prompt_tokens_details\":"
            "{\"cached_tokens\":0,\"audio_tokens\":0},\"completion_tokens_details\":{\"reasoning_tokens\":0,"
            "\"audio_tokens\":0,\"accepted_prediction_tokens\":0,\"rejected_prediction_tokens\":0}}",
            s->tokens, s->tokens + 12);
    add_choice(s, "{}", "\"stop\"");
    add_event(s, "", usage);
    add_chunk(s, "data: [DONE]\n\n", 14);
    add(s, "0\r\n\r\n", 5);
    s->active = 0;
}

// The next piece of the answer into the buffer.
static void emit(Stream *s) {
    char delta[256];
    if (s->next == -1) {
        add_choice(s, "{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null}", "null");
    } else if (s->next < s->tokens) {
        sprintf(delta, "{\"content\":\"[k:%d:%llu%s%s]\"}", s->next, (unsigned long long)now_us(), s->words ? ":" : "",
                s->words ? word[s->next % WORDS] : "");
        add_choice(s, delta, "null");
    } else {
        add_end(s);
        return;
    }
    s->next++;
}

static void wait_for(Stream *s, uint64_t at) {
    s->due = at;
    enqueue(s);
}

// An unpaced stream: a burst, as far as the socket takes it. -1: the peer is gone.
static int pump(Stream *s) {
    for (int i = 0; i < BURST && s->active; i++) {
        if (s->next == s->tokens && s->hold) {
            want_writable(s, 0);
            wait_for(s, now_us() + s->hold);
            return 0;
        }
        emit(s);
        int done = flush(s);
        if (done < 1) return done;
    }
    want_writable(s, s->active);
    return 0;
}

static int answer(Stream *s, const char *body) {
    const char *script = strstr(body, "sim-n");
    double gap = 0, hold = 0;
    s->tokens = 20;
    s->words = 0;
    if (script) {
        int read = 0;
        sscanf(script, "sim-n%d-d%lf%n", &s->tokens, &gap, &read);
        script += read;
        if (!strncmp(script, "-h", 2)) hold = strtod(script + 2, (char **)&script);
        s->words = !strncmp(script, "-w", 2);
    }
    s->gap = (uint64_t)(gap * 1000);
    s->hold = (uint64_t)(hold * 1000);
    s->next = -1;
    s->active = 1;
    const char *head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n"
                       "Connection: keep-alive\r\nCache-Control: no-cache\r\nX-Request-Id: req_0123456789abcdef\r\n\r\n";
    add(s, head, (int)strlen(head));
    if (!s->gap) return pump(s);
    emit(s);
    if (flush(s) < 0) return -1;
    wait_for(s, now_us() + s->gap);
    return 0;
}

// What has arrived; answers once the request is whole. -1: the peer is gone, or is no client of ours.
static int receive(Stream *s) {
    for (;;) {
        if (s->in_cap - s->in_len < 4096) {
            s->in_cap = s->in_cap * 2 + 8192;
            s->in = realloc(s->in, s->in_cap + 1);
        }
        ssize_t got = recv(s->fd, s->in + s->in_len, s->in_cap - s->in_len, MSG_DONTWAIT);
        if (got == 0 || (got < 0 && errno != EAGAIN) || s->in_len > MAX_REQUEST) return -1;
        if (got < 0) break;
        s->in_len += (int)got;
    }
    s->in[s->in_len] = 0;
    char *end = strstr(s->in, "\r\n\r\n");
    if (!end) return 0;
    int head = (int)(end - s->in) + 4, body = 0;
    *end = 0;
    char *length = strcasestr(s->in, "\ncontent-length:");
    int chunked = strcasestr(s->in, "\ntransfer-encoding: chunked") != NULL;
    *end = '\r';
    if (length) body = atoi(length + 16);
    if (chunked && (s->in_len < 5 || memcmp(s->in + s->in_len - 5, "0\r\n\r\n", 5))) return 0;
    if (s->in_len < head + body) return 0;
    s->in_len = 0;
    return answer(s, s->in + head);
}

static void accept_all(int listener) {
    int on = 1, fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        Stream *s = calloc(1, sizeof *s);
        s->fd = fd;
        s->place = NOT_QUEUED;
        streams[fd] = s;
        struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
        epoll_ctl(poller, EPOLL_CTL_ADD, fd, &e);
    }
}

static void serve_due(void) {
    uint64_t now = now_us();
    while (queued && queue[0]->due <= now) {
        Stream *s = queue[0];
        emit(s);
        if (!s->active) dequeue(s);
        else {
            s->due += s->next == s->tokens && s->hold ? s->hold : s->gap;
            sift_down(0);
        }
        if (flush(s) < 0) drop(s);
    }
}

static void serve(int fd, uint32_t events) {
    Stream *s = streams[fd];
    if (!s) return;
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) && receive(s) < 0) {
        drop(s);
        return;
    }
    if (!(events & EPOLLOUT)) return;
    int done = flush(s);
    if (done == 1) {
        want_writable(s, 0);
        if (s->active && !s->gap && s->place == NOT_QUEUED) done = pump(s);
    }
    if (done < 0) drop(s);
}

int main(int argc, char **argv) {
    if (argc != 2) return fprintf(stderr, "upstream PORT\n"), 2;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGPIPE, SIG_IGN);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    created = time(NULL);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(atoi(argv[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (bind(listener, (void *)&address, sizeof address) || listen(listener, 16384)) return perror("upstream"), 1;
    poller = epoll_create1(0);
    struct epoll_event e = {.events = EPOLLIN, .data.fd = listener};
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &e);
    static struct epoll_event ready[1024];
    for (;;) {
        struct timespec left = {0}, *wait = NULL;
        if (queued) {
            uint64_t now = now_us(), us = queue[0]->due > now ? queue[0]->due - now : 0;
            left = (struct timespec){.tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000) * 1000};
            wait = &left;
        }
        int count = epoll_pwait2(poller, ready, 1024, wait, NULL);
        serve_due();
        for (int i = 0; i < count; i++) {
            if (ready[i].data.fd == listener) accept_all(listener);
            else serve(ready[i].data.fd, ready[i].events);
        }
    }
}
