"""What any HTTP API needs: problem documents, CORS, multipart bodies, slots. It knows no job."""
