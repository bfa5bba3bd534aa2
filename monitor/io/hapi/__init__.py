"""The store's products in the protocol of heliophysics: HAPI Data Access Specification 3.3.1.

What is here knows nothing of HTTP: ids, columns, times, codes and formats. `monitor.io.http.hapi` puts it on the server.
"""
