/* Turns the wall clock of one process by WEIR_CLOCK_SKEW_MS milliseconds; preloaded by the local AWS for tests that want it.
 * Monotonic clocks stay right: they are right on AWS, too, however wrong an instance's idea of the date is.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

static long long skew_ns(void) {
    static long long skew;
    static int is_known;
    if (!is_known) {
        const char *text = getenv("WEIR_CLOCK_SKEW_MS");
        skew = text ? atoll(text) * 1000000 : 0;
        is_known = 1;
    }
    return skew;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) {
        real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    }
    int result = real(clock, now);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        long long ns = (long long)now->tv_sec * 1000000000 + now->tv_nsec + skew_ns();
        now->tv_sec = ns / 1000000000;
        now->tv_nsec = ns % 1000000000;
    }
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    (void)zone;
    struct timespec precise;
    int result = clock_gettime(CLOCK_REALTIME, &precise);
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return result;
}

time_t time(time_t *where) {
    struct timespec precise;
    clock_gettime(CLOCK_REALTIME, &precise);
    if (where) {
        *where = precise.tv_sec;
    }
    return precise.tv_sec;
}
