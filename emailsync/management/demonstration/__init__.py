"""The demo: an environment "Contoso (demo)" and a mail server of its own on this machine.

`state` is the folder it lives in, `world` the environment in the database, `server` the IMAP and SMTP
server (the only part that needs the extra `demo`), `store` its mail on disk, `letters` what is written.
Mail never leaves the machine: what is sent to a demo address is delivered, the rest is thrown away.
"""
