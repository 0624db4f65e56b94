// What upstream.c writes and client.c expects: the tokens' text, and the clock both read.
#ifndef TEXT_H
#define TEXT_H
#include <stdint.h>
#include <time.h>

// A token is "[k:<number>:<microseconds>]", or "[k:<number>:<microseconds>:<word>]" when words are asked for.
#define WORDS 8
static const char *const word[WORDS] = {"오늘", "하루는", "비가 왔다", "😀", "괜찮아", "창밖을", "👩‍👩‍👧", "보았다"};

static uint64_t now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}
#endif
