"""What all contract files share: strictness, the version number, text that can be shown safely."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

CONTRACT_VERSION = 1

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""A SHA-256 digest in lower-case hexadecimal, without a prefix."""

TaskId = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,63}$")]
"""A task's name, in kebab-case."""


class ContractModel(BaseModel):
    """A file, or a part of one: unknown keys and non-finite numbers are refused, and it can't be changed."""

    # defer_build: most commands touch one or two of the models; the others need no validator.
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, defer_build=True)
