"""Give the jobs of earlier versions their state and numbers."""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.models import Count, OuterRef, Q, Subquery, Value
from django.db.models.functions import Coalesce


def count_jobs(apps: Apps, _: BaseDatabaseSchemaEditor) -> None:
    """Count the diagnoses of every job; a finished job is done, the others run."""
    jobs = apps.get_model("mailboxes", "Job").objects
    diagnoses = apps.get_model("mailboxes", "Diagnosis").objects

    def number(condition: Q) -> Coalesce:
        rows = diagnoses.filter(condition, job=OuterRef("pk")).order_by().values("job")
        return Coalesce(Subquery(rows.annotate(number=Count("pk")).values("number")), 0)

    done = Q(state="done")
    failed = Q(incoming="failure") | Q(outgoing="failure")
    succeeded = Q(incoming="success") | Q(outgoing="success")
    jobs.update(
        state=Value("running"),
        total=number(Q()),
        done=number(done),
        changed=number(done & succeeded & ~failed),
        failed=number(done & failed),
    )
    jobs.filter(finished_on__isnull=False).update(state="done")


class Migration(migrations.Migration):

    dependencies = [("mailboxes", "0007_jobs")]

    operations = [migrations.RunPython(count_jobs, migrations.RunPython.noop)]
