"""Learned models and their cards. Empty until the first model is trained."""
