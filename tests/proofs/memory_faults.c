/* Preloaded, it counts allocations while it is armed, and fails the one of a number. It notes who
   asked for that one, or where the process has crashed, in memory that a parent process shares. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <malloc.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* glibc's own names of what is replaced here */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *memory, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
extern void __libc_free(void *memory);

enum { MOST_FRAMES = 40 };

typedef struct {
    int frames;
    void *callers[MOST_FRAMES];
} Trace;

static Trace before_start;
static Trace *trace = &before_start;
static long armed;   /* the number of the allocation that fails; 0: none is counted */
static long counted; /* since it was armed */
static long failed;  /* 1 once it has failed */
static long live;    /* bytes that are allocated */
static struct sigaction previous;

__attribute__((constructor)) static void start(void) {
    void *warm[2];
    Trace *shared = (Trace *)syscall(SYS_mmap, NULL, sizeof(Trace), PROT_READ | PROT_WRITE,
                                     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared != MAP_FAILED)
        trace = shared;
    backtrace(warm, 2); /* loads a library the first time */
}

void faults_arm(long number) {
    counted = failed = 0;
    trace->frames = 0;
    __atomic_store_n(&armed, number, __ATOMIC_SEQ_CST);
}

/* Count no more; return how many allocations there were. */
long faults_disarm(void) {
    __atomic_store_n(&armed, 0, __ATOMIC_SEQ_CST);
    return counted;
}

long faults_failed(void) { return failed; }
long faults_live(void) { return live; }

static void crash(int number, siginfo_t *info, void *context) {
    armed = 0;
    trace->frames = backtrace(trace->callers, MOST_FRAMES);
    (void)info, (void)context;
    sigaction(SIGSEGV, &previous, NULL);
    raise(number);
}

/* Note where the process crashes, then do what was to be done. */
void faults_note_crashes(void) {
    struct sigaction action;
    memset(&action, 0, sizeof(action));
    action.sa_sigaction = crash;
    action.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK;
    sigaction(SIGSEGV, &action, &previous);
}

/* Write "library:function" of what was noted, the innermost first. */
void faults_callers(char *text, size_t size) {
    int i;
    size_t used = 0;
    text[0] = 0;
    for (i = 1; i < trace->frames; ++i) {
        Dl_info info;
        const char *file = "?", *name = "?";
        if (dladdr(trace->callers[i], &info)) {
            file = info.dli_fname ? info.dli_fname : file;
            name = info.dli_sname ? info.dli_sname : name;
            if (strrchr(file, '/'))
                file = strrchr(file, '/') + 1;
        }
        used += (size_t)snprintf(text + used, size - used, "%s:%s\n", file, name);
        if (used + 200 > size)
            return;
    }
}

static int fails(void) {
    long number = __atomic_load_n(&armed, __ATOMIC_SEQ_CST);
    if (!number || __atomic_add_fetch(&counted, 1, __ATOMIC_SEQ_CST) != number)
        return 0;
    armed = 0; /* `backtrace` may allocate. */
    trace->frames = backtrace(trace->callers, MOST_FRAMES);
    failed = 1;
    armed = number;
    errno = ENOMEM;
    return 1;
}

static void *noted(void *memory) {
    if (memory)
        __atomic_add_fetch(&live, (long)malloc_usable_size(memory), __ATOMIC_RELAXED);
    return memory;
}

void *malloc(size_t size) { return fails() ? NULL : noted(__libc_malloc(size)); }

void *calloc(size_t count, size_t size) {
    return fails() ? NULL : noted(__libc_calloc(count, size));
}

void *realloc(void *memory, size_t size) {
    long before = memory ? (long)malloc_usable_size(memory) : 0;
    void *result;
    if (fails())
        return NULL;
    result = __libc_realloc(memory, size);
    if (result || size == 0)
        __atomic_add_fetch(&live, -before, __ATOMIC_RELAXED);
    return noted(result);
}

void *memalign(size_t alignment, size_t size) {
    return fails() ? NULL : noted(__libc_memalign(alignment, size));
}

void *aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }

int posix_memalign(void **memory, size_t alignment, size_t size) {
    void *result = memalign(alignment, size);
    if (!result)
        return ENOMEM;
    *memory = result;
    return 0;
}

void free(void *memory) {
    if (memory)
        __atomic_add_fetch(&live, -(long)malloc_usable_size(memory), __ATOMIC_RELAXED);
    __libc_free(memory);
}

void *mmap(void *at, size_t size, int protection, int flags, int file, off_t offset) {
    if (fails())
        return MAP_FAILED;
    return (void *)syscall(SYS_mmap, at, size, protection, flags, file, offset);
}

void *mmap64(void *at, size_t size, int protection, int flags, int file, off_t offset) {
    return mmap(at, size, protection, flags, file, offset);
}
