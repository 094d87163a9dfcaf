"""The network while it is trained: what it begins with, its loss and its optimizer."""
