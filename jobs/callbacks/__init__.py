"""Callbacks, as far as API and workers share them: which URLs may be called, and how a call is signed."""
