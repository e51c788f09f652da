"""The pipeline: one command per DVC stage, and the parts that the commands are made of.

Importing it sets environment variables before any library reads them: how linear algebra uses threads, what torch logs,
and how MLflow talks to its store.
"""

import gc
import os
import time

STARTED = time.time()  # a file written after this may not be what this process imported (config/inputs.py)

# rarer garbage collection makes large imports 10 % faster
gc.set_threshold(20_000, 10, 10)
# NumPy's and SciPy's sums depend on their number of threads; torch's number is a parameter (training/device.py)
os.environ |= {"OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
# with these a computation gets fewer threads than torch asked for, and oneDNN deadlocks
for variable in ("OMP_DYNAMIC", "OMP_THREAD_LIMIT"):
    os.environ.pop(variable, None)
# iterations that a waiting thread spins before it yields its core; with the default it blocks other programs
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")
for variable, value in {
    "TORCH_CPP_LOG_LEVEL": "FATAL",  # where a process ends, the others' connections break: one line says so
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # give up soon if the server does not answer: the event log is the better retry
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    # by default MLflow bypasses its server and asks the server's S3 store, which clients may be unable to reach
    "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD": "false",
    "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "false",
}.items():
    os.environ.setdefault(variable, value)
