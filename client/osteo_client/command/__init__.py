"""The command `osteo`: submit X-rays and whole folders of them, watch them, and fetch what came of them."""
