"""The description of the API: types as JSON Schema, the OpenAPI document, and the pages that show it."""
