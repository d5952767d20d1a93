from http import HTTPStatus
from typing import Any

import httpx

from ...client import AuthenticatedClient, Client
from ...models.problem import Problem
from ...models.retried import Retried
from ...models.retry_many import RetryMany
from ...types import UNSET, Response, Unset


def _get_kwargs(
    *,
    body: None | RetryMany | Unset = UNSET,
    idempotency_key: str | Unset = UNSET,
) -> dict[str, Any]:
    headers: dict[str, Any] = {}
    if not isinstance(idempotency_key, Unset):
        headers["Idempotency-Key"] = idempotency_key

    _kwargs: dict[str, Any] = {
        "method": "post",
        "url": "/api/deliveries/retry",
    }

    if isinstance(body, RetryMany):
        _kwargs["json"] = body.to_dict()
    else:
        _kwargs["json"] = body

    headers["Content-Type"] = "application/json"

    _kwargs["headers"] = headers
    return _kwargs


def _parse_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Problem | Retried:
    if response.status_code == 200:
        response_200 = Retried.from_dict(response.json())

        return response_200

    if response.status_code == 202:
        response_202 = Retried.from_dict(response.json())

        return response_202

    response_default = Problem.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[Problem | Retried]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    *,
    client: AuthenticatedClient | Client,
    body: None | RetryMany | Unset = UNSET,
    idempotency_key: str | Unset = UNSET,
) -> Response[Problem | Retried]:
    """Send deliveries again that are dead, or that wait for their next time, those of each row in order;
    or count them.

     Needs the role support of operators, or the scope deliveries of owners.

    Args:
        idempotency_key (str | Unset):
        body (None | RetryMany | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Problem | Retried]
    """

    kwargs = _get_kwargs(
        body=body,
        idempotency_key=idempotency_key,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    *,
    client: AuthenticatedClient | Client,
    body: None | RetryMany | Unset = UNSET,
    idempotency_key: str | Unset = UNSET,
) -> Problem | Retried | None:
    """Send deliveries again that are dead, or that wait for their next time, those of each row in order;
    or count them.

     Needs the role support of operators, or the scope deliveries of owners.

    Args:
        idempotency_key (str | Unset):
        body (None | RetryMany | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Problem | Retried
    """

    return sync_detailed(
        client=client,
        body=body,
        idempotency_key=idempotency_key,
    ).parsed


async def asyncio_detailed(
    *,
    client: AuthenticatedClient | Client,
    body: None | RetryMany | Unset = UNSET,
    idempotency_key: str | Unset = UNSET,
) -> Response[Problem | Retried]:
    """Send deliveries again that are dead, or that wait for their next time, those of each row in order;
    or count them.

     Needs the role support of operators, or the scope deliveries of owners.

    Args:
        idempotency_key (str | Unset):
        body (None | RetryMany | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[Problem | Retried]
    """

    kwargs = _get_kwargs(
        body=body,
        idempotency_key=idempotency_key,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    *,
    client: AuthenticatedClient | Client,
    body: None | RetryMany | Unset = UNSET,
    idempotency_key: str | Unset = UNSET,
) -> Problem | Retried | None:
    """Send deliveries again that are dead, or that wait for their next time, those of each row in order;
    or count them.

     Needs the role support of operators, or the scope deliveries of owners.

    Args:
        idempotency_key (str | Unset):
        body (None | RetryMany | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Problem | Retried
    """

    return (
        await asyncio_detailed(
            client=client,
            body=body,
            idempotency_key=idempotency_key,
        )
    ).parsed
