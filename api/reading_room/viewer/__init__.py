"""Shows radiographs with their readings: pages, deep links, calibrations, and the data of the viewer."""
