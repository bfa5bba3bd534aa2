"""Events as notifications: GeoJSON Features in the form of the WMO's WIS2 notification message.

The form is that of the WIS2 Notification Message, WMO-No. 1061, http://wis.wmo.int/spec/wnm/1/conf/core.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence

from monitor.types import Json

NAMESPACE = uuid.UUID("6c900606-0db9-4f33-9a41-2bc2c96341f9")
"""Of the ids of all notifications: they are the same wherever an event is recomputed."""
CONFORMS_TO = "http://wis.wmo.int/spec/wnm/1/conf/core"
MEDIA_TYPE = "application/geo+json"


def notification_id(data_id: str, number: int) -> str:
    """The id of one update of an event: the UUIDv5 of `<data_id>#<number>` in `NAMESPACE`."""
    return str(uuid.uuid5(NAMESPACE, f"{data_id}#{number}"))


def notification(
    data_id: str,
    number: int,
    state: str,
    content: Mapping[str, Json],
    *,
    members: Sequence[str],
    position_deg: tuple[float, float] | None,
    base_url: str,
) -> dict[str, Json]:
    """One update of an event, complete but for `pubtime`, which whoever publishes it adds (`Product.encode`).

    Parameters
    ----------
    data_id : str
        Of the event.
    number : int
        Of the update.
    state : str
        `begin`, `update` or `end`.
    content : mapping
        The other properties; by the schema either `datetime`, or both `start_datetime` and `end_datetime`.
    members : sequence of str
        Ids of the products on which the event rests.
    position_deg : tuple of float or None
        Longitude and latitude.
    base_url : str
        Of the server that shows the event.

    Raises
    ------
    ValueError
        Where `content` has both forms of time or neither; it names the event.
    """
    over = {"start_datetime", "end_datetime"} <= content.keys()
    if over == ("datetime" in content):
        raise ValueError(f"{data_id} must have either datetime, or start_datetime and end_datetime")
    own_id = notification_id(data_id, number)
    return {
        "id": own_id,
        "conformsTo": [CONFORMS_TO],
        "type": "Feature",
        "geometry": None if position_deg is None else _point(*position_deg),
        "properties": {
            "data_id": data_id,
            "state": state,
            "update": number,
            **content,
            "members": list(members),
        },
        "links": [
            {"href": f"{base_url.rstrip('/')}/events/{own_id}", "rel": "canonical", "type": MEDIA_TYPE}
        ],
    }


def _point(longitude_deg: float, latitude_deg: float) -> Json:
    """A point with its longitude from −180° to 180°, as GeoJSON has it."""
    longitude_deg = (longitude_deg + 180.0) % 360.0 - 180.0
    return {"type": "Point", "coordinates": [round(longitude_deg, 4), round(latitude_deg, 4)]}
