"""The screens of environments, server profiles and email settings."""
