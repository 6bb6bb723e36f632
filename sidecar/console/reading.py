"""What the console asks for one tenant: what the API answers to who only reads, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from pydantic import ValidationError

from ensemble.contract.base import Answer, Ask
from ensemble.contract.endpoints import Endpoint
from sidecar.errors import Invalid, NotFound

__all__ = ["Reader", "params"]


class Reader:
    """Asks the API's own handlers, past HTTP."""

    def __init__(self, handlers: Mapping[str, Callable[[str, Any, Any], Any]], tenant: str) -> None:
        """Read for *tenant* only."""
        self._handlers = handlers
        self.tenant = tenant

    def ask[ParamsT: Ask, AnswerT: Answer](self, endpoint: Endpoint[ParamsT, AnswerT], given: ParamsT) -> AnswerT:
        """Return what is answered there. Raises NotFound, StoreUnavailable, StoreDamaged."""
        if endpoint.method != "GET":
            raise TypeError(f"{endpoint.name} changes something; the console only reads")
        return cast("AnswerT", self._handlers[endpoint.name](self.tenant, given, None))


def params[ParamsT: Ask](
    kind: type[ParamsT], values: Mapping[str, str | int | None], *, in_path: bool = False
) -> ParamsT:
    """Return what was asked for by an address; an empty value counts as none.

    Raises:
        NotFound: It can't be the address of anything (*in_path*).
        Invalid: It is a filter that nothing can be found by.

    """
    try:
        return kind.model_validate(
            {name: value for name, value in values.items() if value not in (None, "")}, strict=False
        )
    except ValidationError as error:
        if in_path:
            raise NotFound("There is no page at this address.") from error
        named = ", ".join(str(each["loc"][0]) if each["loc"] else "it" for each in error.errors())
        raise Invalid(f"Nothing can be found by this: {named}. Go back, and change or clear it.") from error
