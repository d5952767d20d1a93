from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="AuditActor")


@_attrs_define
class AuditActor:
    """Who has done something.

    Attributes:
        address (None | str): Where the request came from. Owners see it of their own acts.
        kind (str): `operator`, `owner`, `application` (a JWT of the application), `console`, `command line`, `signal`,
            `sql`
            (whoever wrote to the hook table), `rowhook` (by its own decision) or `stranger`.
        owner (None | str): The owner who has done it, or whose token has.
        token (None | str): The number of the token that was used, and its name. Owners see it of their own acts.
        via (None | str): How the request came: `api` or `page`.
    """

    address: None | str
    kind: str
    owner: None | str
    token: None | str
    via: None | str
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        address: None | str
        address = self.address

        kind = self.kind

        owner: None | str
        owner = self.owner

        token: None | str
        token = self.token

        via: None | str
        via = self.via

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "address": address,
                "kind": kind,
                "owner": owner,
                "token": token,
                "via": via,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)

        def _parse_address(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        address = _parse_address(d.pop("address"))

        kind = d.pop("kind")

        def _parse_owner(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        owner = _parse_owner(d.pop("owner"))

        def _parse_token(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        token = _parse_token(d.pop("token"))

        def _parse_via(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        via = _parse_via(d.pop("via"))

        audit_actor = cls(
            address=address,
            kind=kind,
            owner=owner,
            token=token,
            via=via,
        )

        audit_actor.additional_properties = d
        return audit_actor

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
