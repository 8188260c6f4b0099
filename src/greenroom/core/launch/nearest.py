"""The choice of the zone in which a launch begins, by the round trips that the browser of the user measured (ADR 69).

Only zones whose streams browsers reach directly are compared. In a zone with `proxy_connections`, the streams pass
through the web gateway that the user opened, so the zone is never nearer than the zone of that gateway.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from greenroom.core.launch.plan import LaunchZone
from greenroom.core.session.streams import edge_origin
from greenroom.core.workspace.spec_builder import ImageFacts

NearestZoneMode = Literal["off", "suggest", "on"]
"""The group setting `nearest_zone`."""

NEARER_BY_MS: Final = 5.0
"""The minimum difference between the round trips to two zones. Smaller differences can be errors of measurement."""

MAX_ADDRESSES: Final = 3
"""The maximum number of addresses of one zone that a browser measures. A few are enough, because the Agents of a zone
are near each other.
"""

MAX_ZONES: Final = 50
"""The maximum number of zones to which a browser measures its round trip."""
MAX_ROUND_TRIP_MS: Final = 60_000.0
"""The maximum round trip that a browser may report, in milliseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundTripTarget:
    """A zone to which a browser measures its round trip. `addresses` are origins; an empty text is the web gateway that
    the user opened. `current` is True for the zone in which a launch begins unless another zone is nearer."""

    zone_id: str
    zone_name: str
    current: bool
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NearerZone:
    """A zone that is nearer to the user's browser. `text` has its name and both round trips, as part of a sentence."""

    zone_id: str
    text: str


def round_trip_targets(
    zones: Sequence[LaunchZone], current_zone_id: str, edge_urls: Mapping[str, Sequence[str]], request_host: str
) -> tuple[RoundTripTarget, ...]:
    """Return the zones in which a launch could begin, the current zone first; empty if there is only one. `edge_urls`
    maps the id of a zone to the addresses of its edge gateways. `request_host` is the host[:port] that the user opened.
    """
    current_zone = _zone(zones, current_zone_id)
    others = [
        zone
        for zone in sorted(zones, key=lambda z: z.zone_name)
        if zone is not current_zone and _may_begin_in(zone, current_zone)
    ]
    targets = [
        RoundTripTarget(
            zone_id=zone.zone_id,
            zone_name=zone.zone_name,
            current=zone is current_zone,
            addresses=addresses[:MAX_ADDRESSES],
        )
        for zone in (current_zone, *others)
        if (addresses := _addresses(zone, edge_urls.get(zone.zone_id, ()), request_host))
    ][:MAX_ZONES]
    return tuple(targets) if len(targets) > 1 and targets[0].current else ()


def nearest_zone(
    zones: Sequence[LaunchZone], current_zone_id: str, image: ImageFacts, round_trips_ms: Mapping[str, float]
) -> NearerZone | None:
    """Return the nearest zone in which a launch may begin, if it is nearer by `NEARER_BY_MS`; None otherwise."""
    current_zone = _zone(zones, current_zone_id)
    current_ms = round_trips_ms.get(current_zone_id)
    if current_ms is None or image.only_zone_id is not None:
        return None
    measured = [
        z for z in zones if z is not current_zone and _may_begin_in(z, current_zone) and z.zone_id in round_trips_ms
    ]
    if not measured:
        return None
    zone = min(measured, key=lambda z: (round_trips_ms[z.zone_id], z.zone_name))
    round_trip_ms = round_trips_ms[zone.zone_id]
    if round_trip_ms > current_ms - NEARER_BY_MS:
        return None
    return NearerZone(
        zone.zone_id,
        f"zone {zone.zone_name}, which is nearer to the user's browser than zone {current_zone.zone_name}:"
        f" a round trip of {round_trip_ms:.0f} ms rather than {current_ms:.0f} ms",
    )


def _may_begin_in(zone: LaunchZone, current_zone: LaunchZone) -> bool:
    """True if a launch may begin in the zone. Launches of both zones must search other zones, so that no launch fails
    because it begins in the nearer zone.
    """
    return current_zone.search_alternate_zones and zone.search_alternate_zones and not zone.proxy.proxy_connections


def _addresses(zone: LaunchZone, edge_urls: Sequence[str], request_host: str) -> tuple[str, ...]:
    if zone.proxy.uses_edge_gateways:
        edges = {origin for url in edge_urls if (origin := edge_origin(url))}
        if edges:
            return tuple(sorted(edges))
    origin = zone.proxy.direct_origin(request_host)
    return ("",) if origin is None else (origin,)


def _zone(zones: Sequence[LaunchZone], zone_id: str) -> LaunchZone:
    return next(zone for zone in zones if zone.zone_id == zone_id)
