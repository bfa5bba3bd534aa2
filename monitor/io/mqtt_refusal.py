"""What a refusal by the broker, or of the broker, means, and what its operator or ours can do about it."""

from __future__ import annotations

import ssl

import aiomqtt
from paho.mqtt.reasoncodes import ReasonCode

from monitor.io.mqtt_settings import MqttSettings

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
