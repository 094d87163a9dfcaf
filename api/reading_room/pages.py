"""Adds all pages to the reading room."""

from flask import Blueprint

from api.reading_room.events import add_events
from api.reading_room.parts import Room
from api.reading_room.report_form import add_report_forms
from api.reading_room.upload import add_upload
from api.reading_room.viewer.calibration import add_calibration
from api.reading_room.viewer.find import add_find
from api.reading_room.viewer.job_data import add_job_data
from api.reading_room.viewer.pages import add_viewer_pages
from api.reading_room.worklist import add_worklist


def add_pages(pages: Blueprint, parts: Room) -> None:
    """Add the worklist, the viewer with its form, the data of radiographs, and the upload."""
    add_worklist(pages, parts)
    add_events(pages, parts)
    add_upload(pages, parts)
    add_job_data(pages, parts)
    add_report_forms(pages, parts)
    add_calibration(pages, parts)
    add_find(pages, parts)
    add_viewer_pages(pages, parts)
