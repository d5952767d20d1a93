from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar

from attrs import define as _attrs_define

T = TypeVar("T", bound="RowKey")


@_attrs_define
class RowKey:
    """A row, by its table and its key.

    Attributes:
        key (Any): The value of the key, or an object of its columns where there are several.
        table (str): `[schema.]table`
    """

    key: Any
    table: str

    def to_dict(self) -> dict[str, Any]:
        key = self.key

        table = self.table

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "key": key,
                "table": table,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        key = d.pop("key")

        table = d.pop("table")

        row_key = cls(
            key=key,
            table=table,
        )

        return row_key
