"""The program as a whole: how it starts, its help, what it needs."""

import re

import pytest

import crnn


def test_help_names_every_command(invoke):
    shown = invoke("--help").stdout
    commands = [
        "fit",
        "forecast",
        "predict",
        "stream",
        "learn",
        "text",
        "generate",
        "info",
        "demo",
        "export-c",
    ]
    for name in commands:
        assert f"\n  {name} " in shown
        assert invoke(name, "-h").stdout.startswith(f"Usage: crnn {name} [OPTIONS]")


def test_version(invoke):
    assert invoke("--version").stdout == f"crnn, version {crnn.__version__}\n"


def test_info_describes_learners(invoke, tmp_path):
    net = crnn.RNN(2, 3, 1, seed=0)
    learner = net.learner(crnn.SGD(0.1))
    learner.step([1, 2], [3])
    learner.save(tmp_path / "learner.npz")
    shown = invoke("info", tmp_path / "learner.npz").stdout
    assert shown.startswith(f"{tmp_path / 'learner.npz'}: a learner of crnn\n")
    for line in (r"optimizer +SGD\(lr=0.1, .*", r"steps +1", r"network +RNN\(.*", "parameters +22"):
        assert re.search(rf"^{line}$", shown, re.MULTILINE)


def test_fleets_are_described_and_are_no_network(invoke, tmp_path):
    path = tmp_path / "fleet.npz"
    crnn.Fleet(crnn.GRU(3, 2, 2), n=5).save(path)
    shown = invoke("info", path).stdout
    assert shown.startswith(f"{path}: a fleet of crnn\n")
    for line in ("models +5", r"network +Fleet\(GRU\(.*\), n=5\)", "parameters +220"):
        assert re.search(rf"^{line}$", shown, re.MULTILINE)
    refused = invoke("export-c", path, "-o", tmp_path / "fleet.h", exit_code=2)
    assert f"{path}: expected one network, got a fleet of 5" in refused.stderr
    refused = invoke("predict", path, path, exit_code=2)
    assert f"{path}: expected a forecaster of crnn, got a fleet" in refused.stderr


def test_python_m_crnn_is_the_same_command(run_python):
    result = run_python(
        "import runpy, sys; sys.argv = ['crnn', '--version'];"
        "runpy.run_module('crnn', run_name='__main__')"
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"crnn, version {crnn.__version__}\n"


def test_help_imports_nothing_that_only_commands_need(run_python):
    result = run_python(
        "import sys; sys.argv = ['crnn', '--help']\n"
        "from crnn.cli import main\n"
        "try:\n    main()\n"
        "finally:\n    print(sorted({'pandas', 'matplotlib', 'sklearn', 'crnn.archive',\n"
        "    'crnn.forecasting', 'crnn.text'} & set(sys.modules)))"
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("missing", ["click", "tqdm"])
def test_missing_extra_is_one_line_on_stderr(run_python, missing):
    result = run_python(
        f"import sys; sys.modules[{missing!r}] = None; sys.argv = ['crnn', 'demo'];"
        "from crnn.cli import main; main()"
    )
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr == f"crnn: the command line needs {missing}: pip install 'crnn[cli]'\n"


def test_a_broken_click_is_not_called_missing(run_python, tmp_path):
    (tmp_path / "click.py").write_text("import surely_not_installed\n")
    result = run_python(
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from crnn.cli import main; main()"
    )
    assert result.returncode == 1
    assert "surely_not_installed" in result.stderr


def test_a_reader_that_stops_is_no_error(run_python, folder):
    """As `crnn stream net.npz | head -1`."""
    result = run_python(
        "import io, os, sys\n"
        f"sys.argv = ['crnn', 'stream', {str(folder / 'net.npz')!r}]\n"
        "reader, writer = os.pipe()\n"
        "os.close(reader)\n"
        "sys.stdin, sys.stdout = io.StringIO('1 2\\n3 4\\n'), os.fdopen(writer, 'w')\n"
        "from crnn.cli import main; main()"
    )
    assert result.returncode == 1
    assert result.stderr == ""
