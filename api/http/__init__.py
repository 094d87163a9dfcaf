"""What any HTTP API needs: problem documents, CORS, multipart bodies, request ids. It knows no job."""
