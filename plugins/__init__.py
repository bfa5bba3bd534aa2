"""Optional sources, decoders, stages and sinks, installed as `monitor_plugins`."""
