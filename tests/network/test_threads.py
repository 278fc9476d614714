"""Networks and streams in several threads at a time; in a free-threaded Python without the GIL."""

import sysconfig

import pytest
import thread_problems
from network_problems import FAMILIES

FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


@pytest.mark.parametrize("job", thread_problems.JOBS.values(), ids=thread_problems.JOBS)
def test_threads_do_not_disturb_one_another(network_of_family, job):
    job(lambda **settings: network_of_family(**thread_problems.SIZES, **settings), rounds=3)


@pytest.mark.parametrize("settings", [{"num_layers": 2}, {"trainable_h0": True}], ids=str)
def test_threads_and_streams_of_several_layers(build_network, settings):
    for job in (thread_problems.step_their_own_streams, thread_problems.share_one_stream):
        job(lambda **s: build_network(**thread_problems.SIZES, **settings, **s), rounds=3)


@pytest.mark.skipif(not FREE_THREADED, reason="this Python has a GIL")
def test_the_gil_stays_off(run_python, implementations):
    process = run_python(
        f"""
import sys, crnn
for implementation in {implementations!r}:
    for family in {FAMILIES!r}:
        net = getattr(crnn, family)(2, 3, 1, implementation=implementation)
        net.stream().step(net.predict([[1.0, 2.0]])[0].repeat(2))
print(sys._is_gil_enabled())
""",
        flags=("-W", "error"),
    )
    assert process.stdout == "False\n", process.stderr
