"""Components: a variant's GAN, network, objective and regularizer, typed while params.yaml is read."""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, TypeAdapter, ValidationInfo
from pydantic_core import PydanticCustomError

from stages.config.errors import StageError
from stages.config.registry import BrokenFileError, UnknownNameError, find_class

NAME = r"^[\w-]+$"  # not a path; an unknown name is refused later, with a list of those that are allowed
FOLDERS = {"gan": "gans", "network": "networks", "objective": "objectives", "regularizer": "regularizers"}


class Strict(BaseModel):
    """Frozen; no unknown keys, no conversions between types, no NaN or infinity."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class Component(Strict):
    """Base of the four contracts: the options of a component are the fields of the class in its file."""

    role: ClassVar[str]  # a key of FOLDERS
    name: str


class ComponentOptions(Strict):
    """A component before its file is read: its name, and options that its file defines."""

    model_config = ConfigDict(extra="allow")
    name: Annotated[str, Field(pattern=NAME)]


@dataclass(frozen=True)
class BrokenComponent:
    """Stands in for a component whose file cannot be imported: only variants that use it are affected."""

    reason: str


UNRESOLVED = (ComponentOptions, BrokenComponent)  # what stands in the place of a component that was not built


def component_class(role: str, name: str) -> type[Component]:
    """The class of a component; raises as `find_class` does."""
    from_file = find_class(FOLDERS[role], name, Component)
    if from_file.role != role:
        raise BrokenFileError(f"stages/{FOLDERS[role]}/{name}.py defines a {from_file.role}, not a {role}")
    return from_file


def resolve(role: str, options: Any) -> Component:
    """The component that options name, as params.yaml or a model's config.json hold them.

    Raises pydantic's ValidationError for options that are not allowed, StageError where the file is missing or broken.
    """
    try:
        return component_class(role, options["name"]).model_validate(options)
    except (UnknownNameError, BrokenFileError) as error:
        raise StageError(str(error)) from None


def component_field(role: str) -> Any:
    """Type of a field that holds a component: typed where the validation context says `resolve`, else its options.

    config cannot import the contracts, so the static type is Any.
    """
    options = TypeAdapter(ComponentOptions)

    def validate(value: Any, info: ValidationInfo) -> Any:
        unresolved = options.validate_python(value)
        if not (info.context or {}).get("resolve"):
            return unresolved
        try:
            return component_class(role, unresolved.name).model_validate(value)
        except UnknownNameError as error:
            raise PydanticCustomError("unknown_name", "{reason}", {"reason": str(error)}) from None
        except BrokenFileError as error:
            return BrokenComponent(str(error))

    return Annotated[Any, PlainValidator(validate)]
