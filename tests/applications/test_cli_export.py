"""`crnn export-c`."""


def test_header_and_test(invoke, folder, tmp_path):
    header = tmp_path / "pump.h"
    shown = invoke("export-c", folder / "net.npz", "-o", header, "--test", "--weights", "int8")
    assert shown.stdout.startswith(f"{header}: ")
    assert "#define PUMP_INPUTS 2" in header.read_text()
    assert "pump_step(" in (tmp_path / "pump_test.c").read_text()


def test_other_file_stays_unless_forced(invoke, folder, tmp_path):
    header = tmp_path / "pump.h"
    header.write_text("mine")
    shown = invoke("export-c", folder / "net.npz", "-o", header, exit_code=2)
    assert "pump.h: expected no file or one that export_c has written" in shown.output
    assert header.read_text() == "mine"
    invoke("export-c", folder / "net.npz", "-o", header, "--name", "valve", "--force")
    assert "valve_step(" in header.read_text()


def test_only_networks(invoke, folder, tmp_path):
    shown = invoke("export-c", folder / "text.npz", "-o", tmp_path / "pump.h", exit_code=2)
    assert "expected a network of crnn, got a text model" in shown.output
