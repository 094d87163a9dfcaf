"""Jobs and studies as immutable values: states, ids, errors and public documents. No input or output."""
