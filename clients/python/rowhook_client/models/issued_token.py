from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

T = TypeVar("T", bound="IssuedToken")


@_attrs_define
class IssuedToken:
    """A token that was just issued. It is shown this once.

    Attributes:
        created_at (str): When it was issued.
        expires_at (None | str): When it expires; null if it does not.
        id (int): Its number.
        name (str): A note by whoever issued it.
        owner (str): The owner whose hooks it gives access to.
        revoked_at (None | str): When it was revoked; null if it was not.
        scope (str): What it may be used for: `read`, `write`, or some of `test`, `deliveries` and `hooks` with spaces
            between them. Example: test deliveries.
        used_at (None | str): When it was last used, to the hour; null if it never was.
        token (str): The token itself.
    """

    created_at: str
    expires_at: None | str
    id: int
    name: str
    owner: str
    revoked_at: None | str
    scope: str
    used_at: None | str
    token: str
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        created_at = self.created_at

        expires_at: None | str
        expires_at = self.expires_at

        id = self.id

        name = self.name

        owner = self.owner

        revoked_at: None | str
        revoked_at = self.revoked_at

        scope = self.scope

        used_at: None | str
        used_at = self.used_at

        token = self.token

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "created_at": created_at,
                "expires_at": expires_at,
                "id": id,
                "name": name,
                "owner": owner,
                "revoked_at": revoked_at,
                "scope": scope,
                "used_at": used_at,
                "token": token,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls, src_dict: Mapping[str, Any]) -> Self:
        d = dict(src_dict)
        created_at = d.pop("created_at")

        def _parse_expires_at(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        expires_at = _parse_expires_at(d.pop("expires_at"))

        id = d.pop("id")

        name = d.pop("name")

        owner = d.pop("owner")

        def _parse_revoked_at(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        revoked_at = _parse_revoked_at(d.pop("revoked_at"))

        scope = d.pop("scope")

        def _parse_used_at(data: object) -> None | str:
            if data is None:
                return data
            return cast(None | str, data)

        used_at = _parse_used_at(d.pop("used_at"))

        token = d.pop("token")

        issued_token = cls(
            created_at=created_at,
            expires_at=expires_at,
            id=id,
            name=name,
            owner=owner,
            revoked_at=revoked_at,
            scope=scope,
            used_at=used_at,
            token=token,
        )

        issued_token.additional_properties = d
        return issued_token

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
