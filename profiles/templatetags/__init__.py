"""Words of the profiles' templates."""
