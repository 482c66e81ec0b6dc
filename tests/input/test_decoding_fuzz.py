"""Damaged files are decoded or refused: they end no process and take no time.

`DECODING_FUZZ_FILES` sets how many files of each kind are tried.
"""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_FILES_EACH = int(os.environ.get("DECODING_FUZZ_FILES", 12))

_PROGRAM = """
import random, sys, time
import tensorflow as tf
from fine2coarse.input.decoding import decode_upright
from tests.input.image_files import every_kind, with_checksums

decode = tf.function(decode_upright, input_signature=[tf.TensorSpec([], tf.string)])
spoil, slowest, counts = random.Random(0), 0.0, {True: 0, False: 0}
for name, whole in every_kind().items():
    if " EXIF " in name and not name.endswith(("6 little", "8 big")):
        continue
    for number in range(int(sys.argv[1])):
        data = bytearray(whole)
        for _ in range(spoil.choice((1, 1, 2, 8))):
            # Half of the changes go to the headers, where sizes and places are told.
            end = len(data) if spoil.random() < 0.5 else min(len(data), 64)
            data[spoil.randrange(4, end)] = spoil.choice((0, 1, 127, 255, spoil.randrange(256)))
        if spoil.random() < 0.2:
            del data[spoil.randrange(4, len(data)):]
        data = with_checksums(bytes(data))
        print(name, number, data.hex(), file=sys.stderr)
        began = time.monotonic()
        try:
            shape = decode(tf.constant(data)).shape
            assert len(shape) == 3 and shape[2] == 3, shape
            is_decoded = True
        except (tf.errors.InvalidArgumentError, tf.errors.DataLossError):
            is_decoded = False
        slowest = max(slowest, time.monotonic() - began)
        counts[is_decoded] += 1
print(counts[True], counts[False], slowest)
"""


def test_damaged_files_end_no_process(tmp_path):
    log = tmp_path / "files.txt"
    with log.open("w") as errors:
        done = subprocess.run(
            [sys.executable, "-c", _PROGRAM, str(_FILES_EACH)],
            cwd=_ROOT, stdout=subprocess.PIPE, stderr=errors, text=True,
            env={**os.environ, "PYTHONPATH": str(_ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"},
        )  # fmt: skip
    assert done.returncode == 0, f"exit {done.returncode} at: {log.read_text()[-3000:]}"
    num_decoded, num_refused, slowest = done.stdout.split()
    assert int(num_decoded) > 100 and int(num_refused) > 100
    assert float(slowest) < 10
