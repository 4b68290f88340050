"""Every operation's codec against botocore itself, which knows AWS's protocols from the other side.

Random inputs are serialised by botocore and decoded here; random outputs are encoded here and parsed
by botocore. The seed of a failing run is in its output.
"""

import os
import pathlib
import secrets
import subprocess
import sys

import pytest

ECHO = os.environ.get("GUREUM_CODEC_ECHO")


@pytest.mark.skipif(not ECHO, reason="GUREUM_CODEC_ECHO names no built codec_echo (see the Makefile)")
def test_codecs_agree_with_botocore():
    script = pathlib.Path(__file__).parent / "crosscheck" / "crosscheck.py"
    seed = secrets.randbelow(2**31)
    done = subprocess.run(
        [sys.executable, script, "--seed", str(seed), ECHO], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, f"seed {seed}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
    assert " 0 failures" in done.stdout, done.stdout[-500:]
