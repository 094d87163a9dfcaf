"""The routes: each module has the view functions of one part of the API."""
