/* The headers that MSVC compiles, used once each: `make msvc` parses this with Clang's front end for
   MSVC, which takes MSVC's branches. Whether MSVC builds and runs them only Windows can tell. */
#include "cpu.h"
#include "pool.h"
#include "simd.h"

#if !defined(_MSC_VER) || defined(__GNUC__)
#error "this is not a front end for MSVC"
#endif

static void task(void *call, Team team, const void *dtype) {
    (void)dtype;
    if (is_asked(team))
        give_rows(team, 0, 1, 0);
    else if (ask_for_rows(team))
        finish_job(team, claim_piece(team, 0, 1));
    give_nothing(team);
    did_work(team, WORK_PER_LOOK);
    team_wait(team);
    if (was_stopped(team))
        return;
    store_f32((float *)call, select_below_f32(splat_f32(1), load_f32((float *)call),
                                              power_of_two_f32(2), magnitude_f32(-1)));
}

static int ask(void) { return 0; }

int main(void) {
    OpenMP none = {NULL, NULL, NULL};
    Interrupt interrupt;
    float value = 0;
    start_interrupt(&interrupt, ask);
    run_team(cpu_supports_avx2() + cpu_supports_avx512(), task, &value, &interrupt);
    run_alone(task, &value);
    return set_openmp(&none);
}
