from http import HTTPStatus
from typing import Any

import httpx

from ...client import AuthenticatedClient, Client
from ...models.new_portal_link import NewPortalLink
from ...models.portal_link import PortalLink
from ...models.problem import Problem
from ...types import Response


def _get_kwargs(
    *,
    body: NewPortalLink,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/api/portal",
    }

    _kwargs["json"] = body.to_dict()

    headers["Content-Type"] = "application/json"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> PortalLink | Problem:
    if response.status_code == 201:
        response_201 = PortalLink.from_dict(response.json())

        return response_201

    response_default = Problem.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[PortalLink | Problem]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient | Client,
    body: NewPortalLink,
) -> Response[PortalLink | Problem]:
    """Make a link that opens the portal for an owner, once and within ten minutes. It is shown only in
    this response.

     For operators alone. Needs the role hooks.

    Args:
        body (NewPortalLink): A link that is to be made.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[PortalLink | Problem]
    """

    kwargs = _get_kwargs(
        body=body,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    *,
    client: AuthenticatedClient | Client,
    body: NewPortalLink,
) -> PortalLink | Problem | None:
    """Make a link that opens the portal for an owner, once and within ten minutes. It is shown only in
    this response.

     For operators alone. Needs the role hooks.

    Args:
        body (NewPortalLink): A link that is to be made.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        PortalLink | Problem
    """

    return sync_detailed(
        client=client,
        body=body,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient | Client,
    body: NewPortalLink,
) -> Response[PortalLink | Problem]:
    """Make a link that opens the portal for an owner, once and within ten minutes. It is shown only in
    this response.

     For operators alone. Needs the role hooks.

    Args:
        body (NewPortalLink): A link that is to be made.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[PortalLink | Problem]
    """

    kwargs = _get_kwargs(
        body=body,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient | Client,
    body: NewPortalLink,
) -> PortalLink | Problem | None:
    """Make a link that opens the portal for an owner, once and within ten minutes. It is shown only in
    this response.

     For operators alone. Needs the role hooks.

    Args:
        body (NewPortalLink): A link that is to be made.

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        PortalLink | Problem
    """

    return (
        await asyncio_detailed(
            client=client,
            body=body,
        )
    ).parsed
