from harness.workers.capped_log import LOG_BYTES, append_capped


def test_a_log_keeps_its_end(tmp_path):
    log = tmp_path / "logs" / "model.log"
    for number in range(40):
        append_capped(log, f"{number:07}\n".encode() * (LOG_BYTES // 160))
    older = log.with_name("model.log.1")
    assert log.stat().st_size + older.stat().st_size <= LOG_BYTES + LOG_BYTES // 20
    assert (older.read_bytes() + log.read_bytes()).endswith(b"0000039\n")


def test_a_log_that_cannot_be_written_stops_nobody(tmp_path):
    (tmp_path / "file").write_text("")
    append_capped(tmp_path / "file" / "model.log", b"x")
