"""The routes: each module holds the view functions of one part of the API."""
