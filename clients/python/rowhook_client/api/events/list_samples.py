from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import httpx

from ...client import AuthenticatedClient, Client
from ...models.any_object import AnyObject
from ...models.problem import Problem
from ...types import UNSET, Response, Unset


def _get_kwargs(
    name: str,
    *,
    payload: str | Unset = UNSET,
) -> dict[str, Any]:

    params: dict[str, Any] = {}

    params["payload"] = payload

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/api/events/{name}/samples".format(
            name=quote(str(name), safe=""),
        ),
        "params": params,
    }

    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Problem | list[AnyObject]:
    if response.status_code == 200:
        response_200 = []
        _response_200 = response.json()
        for response_200_item_data in _response_200:
            response_200_item = AnyObject.from_dict(response_200_item_data)

            response_200.append(response_200_item)

        return response_200

    response_default = Problem.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[Problem | list[AnyObject]]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    name: str,
    *,
    client: AuthenticatedClient | Client,
    payload: str | Unset = UNSET,
) -> Response[Problem | list[AnyObject]]:
    """List samples of an event's bodies: what was last sent to hooks of the caller, the newest first, or
    else one with
    made-up values. Zapier's performList takes them.

     Needs the role read of operators, or the scope read of owners.

    Args:
        name (str):
        payload (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Problem | list[AnyObject]]
    """

    kwargs = _get_kwargs(
        name=name,
        payload=payload,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    name: str,
    *,
    client: AuthenticatedClient | Client,
    payload: str | Unset = UNSET,
) -> Problem | list[AnyObject] | None:
    """List samples of an event's bodies: what was last sent to hooks of the caller, the newest first, or
    else one with
    made-up values. Zapier's performList takes them.

     Needs the role read of operators, or the scope read of owners.

    Args:
        name (str):
        payload (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Problem | list[AnyObject]
    """

    return sync_detailed(
        name=name,
        client=client,
        payload=payload,
    ).parsed


async def asyncio_detailed(
    name: str,
    *,
    client: AuthenticatedClient | Client,
    payload: str | Unset = UNSET,
) -> Response[Problem | list[AnyObject]]:
    """List samples of an event's bodies: what was last sent to hooks of the caller, the newest first, or
    else one with
    made-up values. Zapier's performList takes them.

     Needs the role read of operators, or the scope read of owners.

    Args:
        name (str):
        payload (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Problem | list[AnyObject]]
    """

    kwargs = _get_kwargs(
        name=name,
        payload=payload,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    name: str,
    *,
    client: AuthenticatedClient | Client,
    payload: str | Unset = UNSET,
) -> Problem | list[AnyObject] | None:
    """List samples of an event's bodies: what was last sent to hooks of the caller, the newest first, or
    else one with
    made-up values. Zapier's performList takes them.

     Needs the role read of operators, or the scope read of owners.

    Args:
        name (str):
        payload (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Problem | list[AnyObject]
    """

    return (
        await asyncio_detailed(
            name=name,
            client=client,
            payload=payload,
        )
    ).parsed
