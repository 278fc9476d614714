"""The machine's multiply-add rate on all cores, measured by peak.c during the run."""

import ctypes
import os
import platform
import shutil
import subprocess
import tempfile
import threading
import time
from pathlib import Path

ROUNDS = 5_000_000  # some 10 ms a core
TRIES = 3  # an interruption makes some of them too slow

FLAGS = ["-O3", "-shared", "-fPIC"]
if platform.machine() in ("x86_64", "AMD64"):
    FLAGS += ["-march=native", "-mprefer-vector-width=512"]


class Peak:
    """Operations per second, by dtype.

    Attributes
    ----------
    missing : str or None
        Why the peak cannot be measured; None if it can.
    """

    def __init__(self) -> None:
        self.missing = self._library = None
        compiler = shutil.which("cc")
        if compiler is None:
            self.missing = "there is no C compiler, cc"
            return
        with tempfile.TemporaryDirectory() as folder:
            library = Path(folder) / "peak.so"
            source = Path(__file__).with_name("peak.c")
            command = [compiler, *FLAGS, source, "-o", library]
            built = subprocess.run(command, capture_output=True, text=True)
            if built.returncode:
                self.missing = f"cc does not compile peak.c: {built.stderr.strip()}"
                return
            self._library = ctypes.CDLL(str(library))

    def measure(self, dtype: str) -> float | None:
        """Return the peak at this moment, or None.

        All cores work at once, and the best of several tries counts. Each thread reads its own CPU
        clock, which stops while another process has the core. By the wall clock, two threads of
        which one had to wait showed half the peak, which doubled every share of it.
        """
        if self._library is None:
            return None
        function = getattr(self._library, f"peak_{dtype}")
        real = ctypes.c_float if dtype == "float32" else ctypes.c_double
        function.argtypes = [ctypes.c_long, real, real, ctypes.POINTER(real)]
        function.restype = ctypes.c_double
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        ready = threading.Barrier(cores)
        rates = [[0.0] * cores for _ in range(TRIES)]

        def work(core: int) -> None:
            for rates_of_cores in rates:
                ready.wait()
                start = time.thread_time()
                operations = function(ROUNDS, 0.5, 1.0, ctypes.byref(real()))
                rates_of_cores[core] = operations / (time.thread_time() - start)

        threads = [threading.Thread(target=work, args=(core,)) for core in range(cores)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return max(map(sum, rates))
