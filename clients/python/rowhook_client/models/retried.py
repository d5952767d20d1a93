from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="Retried")


@_attrs_define
class Retried:
    """How many deliveries are sent again, or would be.

    Attributes:
        dead (int): Dead ones, whose retries start over.
        dry_run (bool): Whether they were only counted.
        parked (int): Parked ones, which go before their next time.
    """

    dead: int
    dry_run: bool
    parked: int
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        dead = self.dead

        dry_run = self.dry_run

        parked = self.parked

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "dead": dead,
                "dry_run": dry_run,
                "parked": parked,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        dead = d.pop("dead")

        dry_run = d.pop("dry_run")

        parked = d.pop("parked")

        retried = cls(
            dead=dead,
            dry_run=dry_run,
            parked=parked,
        )

        retried.additional_properties = d
        return retried

    @property
    def additional_keys(self) -> list[str]:
        return list(self.additional_properties.keys())

    def __getitem__(self, key: str) -> Any:
        return self.additional_properties[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.additional_properties[key] = value

    def __delitem__(self, key: str) -> None:
        del self.additional_properties[key]

    def __contains__(self, key: str) -> bool:
        return key in self.additional_properties
