"""Send what DVC's cache has to its remote, or fetch what the remote has: one line says how it went."""

import argparse
import itertools
import re
import subprocess
import sys
from pathlib import Path

from ruamel.yaml import YAML

from stages.config.errors import StageError, errors_as_lines, first_ten
from stages.storage.files import one_line

DVC_CONFIG = Path(".dvc/config")  # in git; config.local is not
SECRET = re.compile(
    r"^\s*(access_key_id|secret_access_key|session_token|account_key|sas_token|connection_string|client_secret"
    r"|gdrive_client_secret|oss_key_secret|sse_customer_key|password|passphrase|token|credentialpath"
    r"|url(?=\s*=\s*\S+://[^/\s]*:[^/\s]*@))\s*=",  # an address with a password
    re.MULTILINE | re.IGNORECASE,  # as DVC reads keys
)
TRANSFER = "ERROR: failed to transfer"  # DVC prints it for each file, after several tries
LACKING = "Checkout failed for following targets"
AGAIN = "nothing is lost, and `make {}` goes on from here"
CHATTER = re.compile(
    r"ERROR: (failed to transfer '\S+' - |(unexpected|configuration) error - |failed to \w+ data .* - )?"
)


class LackingError(StageError):
    """The remote lacks outputs that dvc.lock names."""


def main() -> None:
    """Push or pull; the exit code is 1 if something is missing at the end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("direction", choices=("push", "pull"))
    direction = parser.parse_args().direction
    with errors_as_lines():
        refuse_secrets()
        try:
            said = transfer(direction)
        except LackingError:  # `make repro` may find what it needs among other machines' runs
            transfer_runs(direction)
            raise
        transfer_runs(direction)
        print(f"{direction}: {said}")


def refuse_secrets() -> None:
    """Raise StageError if the DVC configuration in git has credentials."""
    if DVC_CONFIG.exists() and (found := SECRET.findall(DVC_CONFIG.read_text(encoding="utf-8"))):
        raise StageError(f"{DVC_CONFIG} is in git, and has {', '.join(found)}: use `dvc remote modify --local`")


def transfer(direction: str) -> str:
    """Transfer data and run-cache; return what DVC prints at its end, such as "68 files pushed".

    Raises StageError at the first file that fails: all others would fail, too, with a line and some seconds each. What
    was transferred until then stays, and DVC does not transfer it again.
    """
    said = []
    command = [sys.executable, "-m", "dvc", direction, "--run-cache"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        for line in process.stdout or ():
            said.append(line.rstrip())
            if line.startswith(TRANSFER):
                process.terminate()
                break
    if process.returncode == 0:
        return said[-1] if said else "nothing to do"
    kind = LackingError if any(LACKING in line for line in said) else StageError
    raise kind(f"{direction}: {explain(said)}; {AGAIN.format(direction)}")


def transfer_runs(direction: str) -> None:
    """Transfer all outputs of the run-cache; raises StageError if the remote fails.

    DVC leaves out the outputs that git stores. Without them no training can be restored.
    """
    from dvc.repo import Repo  # imported here, so that mistakes are reported at once
    from dvc_data.hashfile.hash_info import HashInfo

    try:
        with Repo() as repo:
            runs = [YAML(typ="safe").load(path) for path in Path(repo.stage_cache.cache_dir).glob("*/*/*")]
            ends = repo.cache.local, repo.cloud.get_remote_odb(None, direction)
            source, target = ends if direction == "push" else reversed(ends)
            known = source.oids_exist({out["md5"] for run in runs for out in run["outs"]})
            done = repo.cloud.transfer(source, target, {HashInfo("md5", oid) for oid in known}, shallow=False)
            if done.failed:
                raise StageError(f"{len(done.failed)} of {len(known)} outputs of the run-cache were not transferred")
    except Exception as error:  # each kind of remote raises its own
        raise StageError(f"{direction}: {one_line(error)}; {AGAIN.format(direction)}") from error


def explain(said: list[str]) -> str:
    """Why DVC failed, in one line."""
    errors = [index for index, line in enumerate(said) if line.startswith("ERROR: ")]
    if not errors:
        return one_line(" ".join(said))
    first, *others = itertools.takewhile(bool, said[errors[0] :])  # until an empty line
    if LACKING in first:
        missing = itertools.takewhile(lambda line: line != "Is your cache up to date?", others)
        return f"the remote lacks {', '.join(first_ten(list(missing)))}, which `make repro` builds"
    return one_line(" ".join([CHATTER.sub("", first, count=1), *others]))


if __name__ == "__main__":
    main()
