from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar

from attrs import define as _attrs_define

T = TypeVar("T", bound="NewPortalLink")


@_attrs_define
class NewPortalLink:
    """A link that is to be made.

    Attributes:
        owner (str): The owner whose portal it opens.
    """

    owner: str

    def to_dict(self) -> dict[str, Any]:
        owner = self.owner

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "owner": owner,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        owner = d.pop("owner")

        new_portal_link = cls(
            owner=owner,
        )

        return new_portal_link
