"""With the tools for GPUs: they import, and a machine without one is told so and goes on."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["RERANKD_DATA_DIR"] = tempfile.mkdtemp()

import onnx
import pynvml

assert onnx.__version__
assert pynvml.__name__ == "pynvml"

command = Path(sys.executable).with_name("rerankd")
done = subprocess.run([command, "doctor", "--help"], capture_output=True, text=True, check=False)
assert done.returncode == 0, done.stdout + done.stderr
