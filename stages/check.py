"""Check params.yaml, and that each file it names is there, before any work: -> data/checked.txt.

DVC ends at a dependency that is missing before the stage runs, with a line that says neither where it is named nor what
is allowed. So this stage comes first.
"""

from stages.config.command import run_stage
from stages.config.components import FOLDERS
from stages.config.params import Params, load
from stages.config.registry import module_names
from stages.datasets.dataset import find_dataset
from stages.storage.files import write_bytes
from stages.storage.paths import CHECKED

CONTENT = "params.yaml is in order, and the files of all data sets and components that it names are there.\n"


def main(params: Params) -> None:
    """Write the same in any case, so that no other stage runs again; raise ParameterError for a file that is not there.

    Components are not imported, which takes seconds: whoever uses one finds out whether it is broken.
    """
    if params.dataset not in module_names("datasets"):
        find_dataset(params.dataset)  # raises
    named = {(role, part.name) for variant in params.variants.values() for role, part in variant.components().items()}
    if any(name not in module_names(FOLDERS[role]) for role, name in named):
        load()  # raises, with a line a name
    write_bytes(CHECKED, CONTENT.encode())


if __name__ == "__main__":
    run_stage(main, __doc__, components=False)
