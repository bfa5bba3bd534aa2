"""Why there is no connection any more, or none at all, and what its operator or ours can do about it."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

import aiomqtt
import paho.mqtt.client as paho
from paho.mqtt.reasoncodes import ReasonCode

from monitor.io.mqtt.settings import MqttSettings

OWN_ID = "give every instance its own mqtt.client_id"
ADVICE = {
    0x84: "set mqtt.protocol to a version that the broker speaks",
    0x85: "choose another mqtt.client_id",
    0x86: "check mqtt.username and the file named by mqtt.password_file",
    0x87: "check mqtt.username, the file named by mqtt.password_file, and the broker's access rules",
    0x8A: "the broker has banned this client: ask its operator",
    0x8E: f"another client has the same id: {OWN_ID}",
    0x95: "raise the broker's packet limit or lower what is published",
}
"""What to do, by the reason codes of MQTT 5 (paho translates those of 3.1.1)."""
_UNSPECIFIED = 0x80
_KEEP_ALIVE_TIMEOUT = 0x8D


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a connection ended: a line for the operator, the protocol's reason code, and whether we wanted it."""

    reason: str
    code: int | None = None
    ours: bool = False


def ending_of(flags: paho.DisconnectFlags, reason_code: ReasonCode) -> Ending:
    """Why paho says that the connection ended, in the operator's words."""
    if flags.is_disconnect_packet_from_server:
        return Ending(f"the broker closed the connection: {reason_code}", reason_code.value)
    if reason_code.value == _KEEP_ALIVE_TIMEOUT:
        return Ending("the broker stopped answering (keep-alive)", reason_code.value)
    if reason_code.value in (0, _UNSPECIFIED):
        return Ending("the connection was lost")
    return Ending(f"the connection was lost: {reason_code}", reason_code.value)


def explain(error: Exception, settings: MqttSettings) -> tuple[str, str]:
    """Return why there is no connection, and what to do."""
    # aiomqtt hides the cause in its text; the context still has it.
    cause = error.__context__
    code = error.rc if isinstance(error, aiomqtt.MqttCodeError) else None
    if isinstance(code, ReasonCode):
        return str(code), ADVICE.get(code.value, "ask the operator of the broker")
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"TLS: {error}", _certificate_advice(cause, settings)
    if isinstance(cause, ssl.SSLError):
        advice = (
            f"does port {settings.port} speak TLS? Else write mqtt:// or the port of the broker's TLS listener; "
            "check mqtt.ca_file and mqtt.cert_file"
        )
        return f"TLS: {error}", advice
    return str(error), _line_advice(cause, settings)


def _certificate_advice(error: ssl.SSLCertVerificationError, settings: MqttSettings) -> str:
    """What to do about a certificate of the broker that does not pass."""
    text = str(error).lower()
    if "expired" in text or "not yet valid" in text:
        return "renew the broker's certificate, or the one of mqtt.ca_file, or set this machine's clock"
    if "mismatch" in text or "not valid for" in text:
        return (
            f"write the host of mqtt.url as the certificate names it, or issue one that names {settings.host}"
        )
    return "name the authority that signed the broker's certificate in mqtt.ca_file"


def _line_advice(cause: BaseException | None, settings: MqttSettings) -> str:
    """What to do where nobody answers, or where the other side hangs up without a word."""
    if isinstance(cause, ConnectionRefusedError):
        return "start the broker or correct mqtt.url"
    if settings.tls:
        return (
            f"does port {settings.port} speak TLS, and does the broker want a client certificate? "
            "Check mqtt.url, mqtt.cert_file and mqtt.key_file"
        )
    return f"start the broker or correct mqtt.url (mqtts:// where port {settings.port} speaks TLS)"
