"""Fills, trains and stores the network: its beginning, its loss and its optimizer."""
