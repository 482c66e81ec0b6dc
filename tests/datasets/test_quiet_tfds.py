"""What is prepared is logged; nothing of TFDS's goes to standard output or its warnings."""

from __future__ import annotations

import logging

from fine2coarse.datasets.open import open_dataset


def test_preparing_prints_nothing_and_is_logged_once(tmp_path, capsys, caplog):
    caplog.set_level(logging.INFO, "fine2coarse")
    options = {"num_train": 32, "num_test_easy": 8, "num_test_hard": 8}
    for _ in range(2):
        dataset = open_dataset("demo", options, str(tmp_path))
    assert not capsys.readouterr().out
    assert [record.getMessage() for record in caplog.records] == [
        f"preparing demo in {dataset.builder.data_path}"
    ]
