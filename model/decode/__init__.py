"""From the bytes of a submitted file to gray pixels, or to an error that says why not."""
