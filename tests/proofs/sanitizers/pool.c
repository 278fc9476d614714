/* The pool of threads alone, for the thread sanitizer: teams of one to seven give one another rows,
   take pieces of one another's shares and meet at barriers, and every cell of a table is written as
   often as it should be, by one member at a time, each step after the one before. Some calls are
   interrupted: then members leave, and the next call is whole again. */
#include "pool.h"

#include <stdio.h>
#include <stdlib.h>

enum { ROWS = 48, STEPS = 100, ROUNDS = 3, PIECES = 4, MOST_MEMBERS = 7 };

typedef struct {
    long cells[ROWS][STEPS];
    long pieces[ROUNDS][MOST_MEMBERS * PIECES];
    int whole; /* the call was not interrupted */
} Work;

static __thread volatile long sink;
static int questions;

static int interrupt_now(void) { return ++questions == 2; }

static void busy(int index) {
    int i;
    for (i = 0; i < 20 * (index + 1) % 37; ++i)
        sink = i;
}

static void task(void *call, Team team, const void *dtype) {
    Work *work = (Work *)call;
    int round, member, piece, i;
    (void)dtype;
    for (round = 0; round < ROUNDS; ++round) {
        ptrdiff_t first = ROWS * team.index / team.count, t = 0, row;
        ptrdiff_t last = ROWS * (team.index + 1) / team.count;
        do {
            for (; t < STEPS && !is_stopped(team); ++t) {
                for (row = first; row < last; ++row) {
                    if (work->cells[row][t] != round || (t && work->cells[row][t - 1] != round + 1))
                        abort();
                    work->cells[row][t]++;
                    busy(team.index);
                }
                did_work(team, WORK_PER_LOOK);
                if (t + 2 < STEPS && is_asked(team)) {
                    if (last - first < 2) {
                        give_nothing(team);
                    } else {
                        ptrdiff_t end = last;
                        last = first + (last - first) / 2;
                        give_rows(team, last, end, t + 1);
                    }
                }
            }
            if (team.count == 1 || !ask_for_rows(team))
                break;
            first = team.mailboxes[team.index].first;
            last = team.mailboxes[team.index].last;
            t = team.mailboxes[team.index].step;
        } while (1);
        team_wait(team);
        if (was_stopped(team)) {
            if (team.index == 0)
                work->whole = 0;
            return;
        }
        for (i = 0; i < team.count && team.count > 1; ++i) {
            member = (team.index + i) % team.count;
            while ((piece = claim_piece(team, member, PIECES)) >= 0)
                work->pieces[round][member * PIECES + piece]++;
        }
        if (team.count > 1)
            finish_job(team, PIECES);
        team_wait(team);
        for (i = 0; i < (team.count > 1 ? team.count * PIECES : 0); ++i)
            if (work->pieces[round][i] != 1)
                abort();
    }
}

int main(int argc, char **argv) {
    int calls = argc > 1 ? atoi(argv[1]) : 0, call, whole = 0, row, t;
    for (call = 0; call < calls; ++call) {
        Work *work = (Work *)calloc(1, sizeof *work);
        Interrupt interrupt;
        start_interrupt(&interrupt, interrupt_now);
        interrupt.due = 0; /* ask at the first look */
        questions = call % 5 == 0 ? 1 : 100;
        work->whole = 1;
        run_team(1 + call % MOST_MEMBERS, task, work, call % 2 ? &interrupt : NULL);
        for (row = 0; row < ROWS && work->whole; ++row)
            for (t = 0; t < STEPS; ++t)
                if (work->cells[row][t] != ROUNDS)
                    abort();
        whole += work->whole;
        free(work);
    }
    printf("%d calls, %d of them whole, %d interrupted\n", calls, whole, calls - whole);
    return whole == calls || whole == 0;
}
