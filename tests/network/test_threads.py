"""Networks and streams in several threads at a time; in a free-threaded Python without the GIL."""

import os
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


SUBINTERPRETER = """
import warnings
warnings.simplefilter("ignore")
try:
    import crnn
    print(crnn.RNN(2, 3, 1, seed=0).predict([[1.0, 2.0]]).shape, flush=True)
except ImportError as error:
    print(error, flush=True)
"""


@pytest.mark.parametrize("kind", ["legacy", "isolated"])
@pytest.mark.parametrize("first", ["main", "subinterpreter"])
def test_a_subinterpreter_computes_or_is_refused(run_python, kind, first):
    """By one sentence; whether NumPy loads there depends on its version and Python's."""
    process = run_python(
        f"""
try:
    import _interpreters as interpreters
    created = interpreters.create({kind!r})
except ImportError:
    import _xxsubinterpreters as interpreters
    created = interpreters.create(isolated={kind == "isolated"})
if {first!r} == "main":
    import crnn
interpreters.run_string(created, {SUBINTERPRETER!r})
interpreters.destroy(created)
if {first!r} == "main":
    print(crnn.RNN(2, 3, 1, seed=0).predict([[1.0, 2.0]]).shape)
"""
    )
    assert process.returncode == 0, process.stderr
    refusal = "crnn: expected an interpreter that NumPy can be imported in, got a subinterpreter"
    # NumPy that a subinterpreter loads first may not load in the main one: nothing is asked there.
    there, *here = process.stdout.splitlines()
    assert there in {"(1, 1)", refusal}
    assert here == (["(1, 1)"] if first == "main" else [])


INTERRUPTED_SUBINTERPRETER = """
import os, signal, warnings
warnings.simplefilter("ignore")
try:
    import crnn
    import numpy as np
except ImportError:
    print("refused", flush=True)
else:
    T = 2_000_000 if crnn.implementation == "native" else 20
    os.kill(os.getpid(), signal.SIGINT)
    y = crnn.RNN(1, 32, 1, seed=0).predict(np.ones((T, 1), np.float32))
    print(len(y) == T, flush=True)
"""


@pytest.mark.skipif(os.name != "posix", reason="os.kill sends no signal to handlers elsewhere")
def test_ctrl_c_waits_for_the_end_of_a_subinterpreter(run_python):
    process = run_python(
        f"""
import signal
try:
    import _interpreters as interpreters
    created = interpreters.create("legacy")
except ImportError:
    import _xxsubinterpreters as interpreters
    created = interpreters.create(isolated=False)
signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    interpreters.run_string(created, {INTERRUPTED_SUBINTERPRETER!r})
    for _ in range(1000):
        pass
    print("not interrupted")
except KeyboardInterrupt:
    print("interrupted")
"""
    )
    assert process.stdout in {"True\ninterrupted\n", "refused\nnot interrupted\n"}, process
