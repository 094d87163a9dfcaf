"""Models: bundles in the object store, which of them answer, and what a shadow has shown."""
