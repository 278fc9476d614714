/* Preloaded, it counts a thread's calls to allocate and to lock, each of which it passes on. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>

/* glibc's own names of what is counted here */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *memory, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
extern void __libc_free(void *memory);

static __thread unsigned long calls __attribute__((tls_model("initial-exec")));

unsigned long calls_counted(void) { return calls; }

void *malloc(size_t size) {
    ++calls;
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
    ++calls;
    return __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size) {
    ++calls;
    return __libc_realloc(memory, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
    ++calls;
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **memory, size_t alignment, size_t size) {
    ++calls;
    *memory = __libc_memalign(alignment, size);
    return *memory ? 0 : 12; /* ENOMEM */
}

void free(void *memory) {
    ++calls;
    __libc_free(memory);
}

int pthread_mutex_lock(pthread_mutex_t *mutex) {
    static int (*next)(pthread_mutex_t *);
    ++calls;
    if (!next)
        *(void **)&next = dlsym(RTLD_NEXT, "pthread_mutex_lock");
    return next(mutex);
}
