"""Types of numbers and texts in params.yaml, with what is allowed."""

from typing import Annotated

from pydantic import Field

Positive = Annotated[int, Field(ge=1, le=10**9)]
Size = Annotated[int, Field(ge=1, le=65536)]  # of a layer or a list: what fits into memory
NonNegative = Annotated[float, Field(ge=0)]
Rate = Annotated[float, Field(gt=0, le=1)]
BatchSize = Annotated[int, Field(ge=2, le=65536)]  # batch norm needs two
Text = Annotated[str, Field(min_length=1, pattern=r"^[^\n|]*$")]  # fits a cell of a Markdown table
Seed = Annotated[int, Field(ge=0, lt=2**32)]
