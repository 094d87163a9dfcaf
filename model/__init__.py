"""Pixels in, prediction out: decoding, the network, the bundle that carries it, and what it has to say."""
