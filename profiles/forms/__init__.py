"""The forms of environments, server profiles and email settings. The rules live in profiles/rules.py."""
