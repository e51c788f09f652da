"""The pipeline: one command a DVC stage, and the parts that the commands are made of.

Importing it sets variables before any library that reads them is loaded: how linear algebra uses threads, and how
MLflow talks to its store.
"""

import gc
import os
import time

STARTED = time.time()  # what is written later was not what this process began with (config/inputs.py)

# large libraries are imported in nine tenths of the time where Python looks less often for garbage
gc.set_threshold(20_000, 10, 10)
# NumPy's and SciPy's sums depend on their number of threads; torch's number is a parameter (training/device.py)
os.environ |= {"OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
# they give a computation fewer threads than torch asked for; oneDNN then waits for the others for ever
for variable in ("OMP_DYNAMIC", "OMP_THREAD_LIMIT"):
    os.environ.pop(variable, None)
# rounds that a waiting thread spins before it lets go of its core; by default it keeps others' work from running
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")
for variable, value in {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # a server that is away is given up soon: the event log is the better retry
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    # by default MLflow passes by its server and asks the server's S3 store, which others may be unable to reach
    "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD": "false",
    "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "false",
}.items():
    os.environ.setdefault(variable, value)
