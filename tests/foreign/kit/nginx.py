"""Debian's nginx in the foreground, in a folder of its own, without privileges."""

from .processes import Process, executable


def serves(folder, name, http):
    """Starts it; `http` is what stands in its block of that name."""
    own = folder / name
    own.mkdir()
    (own / "nginx.conf").write_text(f"""
daemon off;
master_process off;
pid {own}/pid;
error_log stderr warn;
events {{}}
http {{
  access_log off;
  client_body_temp_path {own}/body;
  proxy_temp_path {own}/proxy;
  fastcgi_temp_path {own}/fastcgi;
  uwsgi_temp_path {own}/uwsgi;
  scgi_temp_path {own}/scgi;
{http}
}}
""")
    return Process([executable("nginx"), "-p", own, "-e", "stderr", "-c", own / "nginx.conf"], folder, name)
