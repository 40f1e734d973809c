"""What `manage.py selftest` needs: scripted mail servers, the failures they produce, and the run itself."""
