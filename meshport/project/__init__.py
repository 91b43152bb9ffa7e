"""Mesh projects on disk: reading, scaffolding, checking, applying and recounting them, and running their sources."""
