"""The catalog: the mesh as pages for people, served by the registry at `/` and below `/catalog`.

A page is a module of `catalog.pages` with a view model, a route and a template of the same name:

- The view is a `PageView`, a pydantic model of all that the template shows. The route reads it from the database and returns
  `show(request, "name.html", view)`. A browser gets the template's HTML, and a client that does not ask for HTML the view as
  JSON.
- The route has a row in `rights/route_table.py`, as every route of the registry, and its router stands in `pages.ROUTERS`.
- The template extends `frame.html` (`product_frame.html` for a page about one product, which brings the tabs). Everything is
  escaped: a description or a `doc` is other people's text. Scripts and styles are files of `static/`, since the content security
  policy permits nothing inline.
- A form posts to a route that takes `Form`, which refuses what another site makes a browser send.
"""
