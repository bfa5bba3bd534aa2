"""Events held against simulated storms whose plasmapause is known."""
