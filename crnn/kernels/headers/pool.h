/* The pool of threads that threads.h describes. Only native.pyx includes it.

   A team may run on the threads of OpenMP instead: where another library uses these, they go on
   spinning for milliseconds after its work, on the cores that threads of our own would need. */
#ifndef CRNN_POOL_H
#define CRNN_POOL_H

#include "threads.h"

typedef struct {
    crnn_atomic posted; /* a task waits or runs; the worker clears it when done */
    Task task;
    void *call;
    Team team;
#if defined(_MSC_VER)
    SRWLOCK lock;
    CONDITION_VARIABLE wake;
#else
    pthread_mutex_t lock;
    pthread_cond_t wake;
#endif
} Worker;

static Worker workers[MOST_THREADS]; /* workers[0], the calling thread's place, is not used */
static int workers_started = 1;
static crnn_atomic pool_taken;
static crnn_atomic callers; /* threads in run_team */
static Mailbox mailboxes[MOST_THREADS];
static crnn_atomic held_calls; /* in so many calls more, members expect to wait for one another */
static crnn_atomic late;

/* Functions of the OpenMP library whose threads are used, or NULL. The first is what GCC compiles a
   parallel region to; other compilers' libraries have it too. */
typedef struct {
    void (*parallel)(void (*body)(void *), void *data, unsigned threads, unsigned flags);
    int (*thread_number)(void);
    int (*thread_count)(void);
} OpenMP;

static OpenMP openmp;

#if defined(_MSC_VER)
#define worker_lock(w) AcquireSRWLockExclusive(&(w)->lock)
#define worker_unlock(w) ReleaseSRWLockExclusive(&(w)->lock)
#define worker_sleep(w) SleepConditionVariableSRW(&(w)->wake, &(w)->lock, INFINITE, 0)
#define worker_wake(w) WakeConditionVariable(&(w)->wake)
#else
#define worker_lock(w) pthread_mutex_lock(&(w)->lock)
#define worker_unlock(w) pthread_mutex_unlock(&(w)->lock)
#define worker_sleep(w) pthread_cond_wait(&(w)->wake, &(w)->lock)
#define worker_wake(w) pthread_cond_signal(&(w)->wake)
#endif

static void worker_loop(Worker *worker) {
    for (;;) {
        int spins;
        for (spins = 0; spins < SPINS && !atomic_get(&worker->posted); ++spins)
            pause_processor();
        if (!atomic_get(&worker->posted)) {
            worker_lock(worker);
            while (!atomic_get(&worker->posted))
                worker_sleep(worker);
            worker_unlock(worker);
        }
        run_member(worker->task, worker->call, worker->team);
        atomic_set(&worker->posted, 0);
    }
}

#if defined(_MSC_VER)
static DWORD WINAPI worker_main(LPVOID worker) {
    worker_loop((Worker *)worker);
    return 0;
}

static int handle_forks(void) { return 1; }

static int start_worker(Worker *worker) {
    HANDLE thread;
    InitializeSRWLock(&worker->lock);
    InitializeConditionVariable(&worker->wake);
    thread = CreateThread(NULL, 0, worker_main, worker, 0, NULL);
    if (thread)
        CloseHandle(thread);
    return thread != NULL;
}
#else
static void *worker_main(void *worker) {
    worker_loop((Worker *)worker);
    return NULL;
}

/* After a fork the child has none of the threads, so nothing may stay locked. */
static void forget_pool(void) {
    int i;
    for (i = 1; i < workers_started; ++i)
        workers[i].posted = 0;
    workers_started = 1;
    pool_taken = callers = 0;
    openmp.parallel = NULL; /* GCC's would wait for its lost threads */
}

static int handle_forks(void) {
    static int handled;
    handled = handled || pthread_atfork(NULL, NULL, forget_pool) == 0;
    return handled;
}

static int start_worker(Worker *worker) {
    pthread_t thread;
    sigset_t all, before;
    int failed;
    if (!handle_forks())
        return 0;
    pthread_mutex_init(&worker->lock, NULL);
    pthread_cond_init(&worker->wake, NULL);
    /* Signals go to the program's own threads. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    failed = pthread_create(&thread, NULL, worker_main, worker);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!failed)
        pthread_detach(thread);
    return !failed;
}
#endif

/* Run a task on the calling thread: no lock, no system call. */
static void run_alone(Task task, void *call) {
    Team team = {.count = 1, .is_caller = 1}; /* one member waits for none */
    run_member(task, call, team);
}

/* After a call in which a member came late, members expect it in so many calls. */
enum { HELD_CALLS = 16 };

static void open_mailboxes(int count) {
    int i;
    for (i = 0; i < count; ++i) {
        mailboxes[i].asker = NOBODY_ASKS;
        mailboxes[i].answer = NO_ANSWER;
        mailboxes[i].claimed = mailboxes[i].jobs = 0;
    }
}

static void post(Worker *worker, Task task, void *call, Team team) {
    worker->task = task;
    worker->call = call;
    worker->team = team;
    worker_lock(worker);
    atomic_set(&worker->posted, 1);
    worker_wake(worker);
    worker_unlock(worker);
}

/* Run teams on the threads of OpenMP from now on, or of our own. Whether that is possible. */
static int set_openmp(const OpenMP *functions) {
    int spins = 0, possible;
    /* A call that has the pool goes on reading the functions until its members have started. */
    while (atomic_swap(&pool_taken, 1))
        spin(&spins);
    possible = !functions->parallel || handle_forks();
    if (possible)
        openmp = *functions;
    atomic_set(&pool_taken, 0);
    return possible;
}

typedef struct {
    Task task;
    void *call;
    Team team;
} Region;

static void run_openmp_member(void *region) {
    Team team = ((Region *)region)->team;
    team.index = openmp.thread_number();
    team.count = openmp.thread_count();
    team.is_caller = team.index == 0;
    run_member(((Region *)region)->task, ((Region *)region)->call, team);
}

static void run_openmp(int threads, Task task, void *call, Team team) {
    Region region;
    region.task = task;
    region.call = call;
    region.team = team;
    openmp.parallel(run_openmp_member, &region, (unsigned)threads, 0);
}

static void run_own(int threads, Task task, void *call, Team team) {
    int i;
    while (workers_started < threads && start_worker(&workers[workers_started]))
        ++workers_started;
    team.count = threads < workers_started ? threads : workers_started;
    team.is_caller = 0;
    for (i = 1; i < team.count; ++i) {
        team.index = i;
        post(&workers[i], task, call, team);
    }
    team.index = 0;
    team.is_caller = 1;
    run_member(task, call, team);
    for (i = 1; i < team.count; ++i) {
        int spins = 0;
        while (atomic_get(&workers[i].posted))
            spin(&spins);
    }
}

/* Run a task with up to `threads` members, the calling thread among them, and return when all
   are done. The team has one member less for each other call that is running, which needs a core
   itself. The bits that come out must not depend on how many members there were. Where there is an
   interrupt, the task may end early. */
static void run_team(int threads, Task task, void *call, Interrupt *interrupt) {
    Barrier barrier = {0, 0, 0};
    Team team = {.count = 1, .barrier = &barrier, .mailboxes = mailboxes, .late = &late,
                 .interrupt = interrupt, .is_caller = 1};
    threads -= atomic_add(&callers, 1) - 1;
    if (threads > MOST_THREADS)
        threads = MOST_THREADS;
    if (threads > 1 && !atomic_swap(&pool_taken, 1)) {
        open_mailboxes(threads);
        if (atomic_swap(&late, 0))
            held_calls = HELD_CALLS;
        else if (held_calls > 0)
            --held_calls;
        team.is_held = held_calls > 0;
        if (openmp.parallel)
            run_openmp(threads, task, call, team);
        else
            run_own(threads, task, call, team);
        atomic_set(&pool_taken, 0);
    } else {
        run_member(task, call, team);
    }
    atomic_add(&callers, -1);
}

#endif
