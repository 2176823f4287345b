"""The API: what programs ask and tell, on the administrators' listener under `/api`.

`application.add_api` puts it there; `gate` lets in who has a key; each module beside them is one
noun; `docs` is the page that people read.
"""
