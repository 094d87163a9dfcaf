"""Describes collections of X-rays: manifest, division into parts, copies, and pictures of other kinds."""
