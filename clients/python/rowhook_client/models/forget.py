from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from attrs import define as _attrs_define

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.row_key import RowKey


T = TypeVar("T", bound="Forget")


@_attrs_define
class Forget:
    """What to forget: an owner or a row, one of the two.

    Attributes:
        owner (None | str | Unset): The owner.
        row (None | RowKey | Unset):
    """

    owner: None | str | Unset = UNSET
    row: None | RowKey | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        from ..models.row_key import RowKey

        owner: None | str | Unset
        if isinstance(self.owner, Unset):
            owner = UNSET
        else:
            owner = self.owner

        row: dict[str, Any] | None | Unset
        if isinstance(self.row, Unset):
            row = UNSET
        elif isinstance(self.row, RowKey):
            row = self.row.to_dict()
        else:
            row = self.row

        field_dict: dict[str, Any] = {}

        field_dict.update({})
        if owner is not UNSET:
            field_dict["owner"] = owner
        if row is not UNSET:
            field_dict["row"] = row

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        from ..models.row_key import RowKey

        d = dict(src_dict)

        def _parse_owner(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        owner = _parse_owner(d.pop("owner", UNSET))

        def _parse_row(data: object) -> None | RowKey | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                row_type_0 = RowKey.from_dict(data)

                return row_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | RowKey | Unset, data)

        row = _parse_row(d.pop("row", UNSET))

        forget = cls(
            owner=owner,
            row=row,
        )

        return forget
