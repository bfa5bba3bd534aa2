"""Everything that touches the outside: broker, files, store, metrics, HTTP."""
