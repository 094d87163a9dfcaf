"""Serves by a Flask application that calls `model.predict`, for gunicorn."""

from flask import Flask, request

from benchmarks.rivals.network import load, predict, prepare

app = Flask(__name__)
network = load()


@app.post("/analyse")
def analyse() -> dict[str, object]:
    """Predict one radiograph."""
    return predict(network, prepare(request.get_data())[None])[0]
