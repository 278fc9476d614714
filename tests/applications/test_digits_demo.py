import pytest

from crnn.demos import digits


def test_digits_are_read():
    pytest.importorskip("sklearn")
    lines = []
    results = digits.run(progress=False, echo=lines.append)
    assert results["accuracy"] >= 0.96
    assert lines[0] == "Digits of 8 rows of 8 pixels: 1347 to learn from, 450 held out."
    right, share = round(450 * results["accuracy"]), 100 * results["accuracy"]
    assert lines[3] == f"Right: {right} of 450 held out, {share:.1f} %."
    # As many mistakes as are said, unless there are kinds of them left out
    times = [int(line.split()[3]) for line in lines[5:]]
    assert times == sorted(times, reverse=True)
    assert sum(times) <= 450 - right


def test_without_scikit_learn(run_python):
    done = run_python(
        "import sys; sys.modules['sklearn'] = None; import crnn.demos.digits as d; d.run()"
    )
    assert "pip install 'crnn[sklearn]'" in done.stderr
