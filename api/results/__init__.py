"""A job's result in each format that a client may ask for, the overlay, and the pixels of its radiograph."""
